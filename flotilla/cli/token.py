"""How a bot token comes in: typed unseen, or the first line of stdin. Never by argv, which every user here can read."""

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import typer

from flotilla.cli.faults import CommandError
from flotilla.discord import application_id_of

MAX_LINE_CHARS = 4096
TAKES_ANYTHING = {"ignore_unknown_options": True}
"""Context settings of a command that asks for a token: what it does not know reaches `refuse_argv`."""


def refuse_argv(extra: Sequence[str], command: str) -> None:
    """Raise CommandError (`token_in_argv`) if anything stands where somebody would put a token; never repeat it.

    command: that which asks for the token. Raises BadParameter if all that is there are options mistyped.
    """
    unknown = [word for word in extra if word.startswith("-") and not word.startswith("--token")]
    if unknown and len(unknown) == len(extra):
        raise typer.BadParameter(f"No such option: {unknown[0].partition('=')[0]}")
    if extra:
        raise CommandError(
            "A token is not taken from the command line: every user of this machine can see it there, and your shell "
            f"keeps it in its history. Leave it out and type it when asked, or pipe it in: {command} < token-file. "
            "A token that was given this way should be reset in the Developer Portal.",
            code="token_in_argv",
        )


def read_token(command: str, stream: TextIO | None = None, prompt: Callable[[str], str] = getpass.getpass) -> str:
    """Return a well-formed token from `stream` (stdin), asking unseen if that is a terminal.

    command: that which asks for it. Raises CommandError (`token_missing`) or FixInputError (`token_malformed`).
    """
    source = stream or sys.stdin
    given = prompt("Bot token (not shown): ") if source.isatty() else source.readline(MAX_LINE_CHARS)
    token = given.strip()
    if not token:
        raise CommandError(
            f"No token was given. Type it when asked, or pipe it in: {command} < token-file",
            code="token_missing",
        )
    application_id_of(token)
    return token
