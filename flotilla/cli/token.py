"""How a bot token comes in: typed unseen, or the first line of stdin. Never by argv, which every user here can read."""

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from flotilla.cli.faults import CommandError
from flotilla.discord import application_id_of

MAX_LINE_CHARS = 4096
WHY_NOT_ARGV = (
    "A token is not taken from the command line: every user of this machine can see it there, and your shell keeps it "
    "in its history. Leave it out and type it when asked, or pipe it in: flotilla bots add NAME < token-file. "
    "A token that was given this way should be reset in the Developer Portal."
)


def refuse_argv(extra: Sequence[str]) -> None:
    """Raise CommandError (`token_in_argv`) if anything stands where somebody would put a token; never repeat it."""
    if extra:
        raise CommandError(WHY_NOT_ARGV, code="token_in_argv")


def read_token(stream: TextIO | None = None, prompt: Callable[[str], str] = getpass.getpass) -> str:
    """Return a well-formed token from `stream` (stdin), asking unseen if that is a terminal.

    Raises CommandError (`token_missing`) or FixInputError (`token_malformed`).
    """
    source = stream or sys.stdin
    given = prompt("Bot token (not shown): ") if source.isatty() else source.readline(MAX_LINE_CHARS)
    token = given.strip()
    if not token:
        raise CommandError(
            "No token was given. Type it when asked, or pipe it in: flotilla bots add NAME < token-file",
            code="token_missing",
        )
    application_id_of(token)
    return token
