"""What the programs of one home prove themselves with to supervisord and to the private Valkey.

Both listen on sockets that every program of this user may connect to, bots included where they have no users of their
own; the files with the keys are out of a bot's reach.
"""

import os
import secrets
from pathlib import Path

from flotilla.settings import Settings

_BYTES = 32


def ensure_local_keys(settings: Settings) -> None:
    """Make the keys that are not there yet. Raises OSError."""
    _make(settings.supervisord_key_file, secrets.token_hex(_BYTES))
    # Not on its command line, which everybody may read.
    _make(settings.valkey_conf, f"requirepass {secrets.token_hex(_BYTES)}\n")


def supervisord_key(path: Path) -> str:
    """Return the key that lies at `path`, empty if there is none: then nobody asks for it. Raises OSError."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _make(path: Path, content: str) -> None:
    if path.exists():
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
    partial.replace(path)
