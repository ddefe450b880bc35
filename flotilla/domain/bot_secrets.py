"""Secrets of a bot's own: what they may be called, how large they may be, and what is known of them. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flotilla.domain.environment import INHERITED, PREFIXES
from flotilla.errors import FixInputError

MAX_SECRETS: Final = 50
"""Of one bot. With all of them full its Welcome takes a fifth of MAX_FRAME_BYTES (`flotilla.protocol`), and the
environment of what the bot starts a tenth of what Linux allows by default (execve(2): a quarter of an 8 MiB stack)."""

MAX_VALUE_BYTES: Final = 4096
"""A private key of RSA with 4096 bits takes 3.3 kB as PEM (RFC 7468), a service account's JSON file 2.4 kB."""

_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_OTHERS: Final = ("FLOTILLA_", "SUPERVISOR_", "LD_", "PYTHON", "GLIBC_", "COVERAGE_", *PREFIXES)
"""Of names that mean something to Flotilla, the loader, the C library or the interpreter."""


@dataclass(frozen=True, slots=True)
class BotSecret:
    """What is shown of a secret. changed_by: name of the API key that set it."""

    name: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class BotSecrets:
    """What is shown of all secrets of a bot. version: grows with every change of one."""

    version: int = 0
    items: tuple[BotSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A bot's token and its secrets by name, as they are stored."""

    token: bytes
    secrets: Mapping[str, bytes] = field(default_factory=dict)


def checked_name(name: str) -> str:
    """Return the name of a secret. Raises FixInputError (`secret_name_invalid`), never repeating it.

    What stands in a name's place may be a value.
    """
    if not _NAME.fullmatch(name):
        raise FixInputError(
            "A secret has the name of an environment variable: 1 to 64 of A-Z, 0-9 and underscore, not a digit first.",
            code="secret_name_invalid",
        )
    if name in INHERITED or name.startswith(_OTHERS):
        raise FixInputError(
            "This name is not for a secret: Flotilla, the loader or Python itself reads that variable. "
            "Choose another, such as SHOP_DATABASE_URL.",
            code="secret_name_invalid",
        )
    return name


def checked_value(value: str) -> str:
    """Return the value of a secret. Raises FixInputError (`secret_value_invalid`), never repeating it."""
    why = ""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        why = "A secret is text that UTF-8 can hold."
    else:
        if not size:
            why = "A secret is not empty. To take one away, remove it."
        elif size > MAX_VALUE_BYTES:
            why = f"A secret has at most {MAX_VALUE_BYTES:,} bytes; this one has {size:,}. Let the bot read a file."
        elif "\0" in value:
            why = "A secret has no NUL character: an environment variable cannot hold it."
    if why:
        raise FixInputError(why, code="secret_value_invalid")
    return value
