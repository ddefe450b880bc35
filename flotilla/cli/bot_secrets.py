"""`flotilla bots secrets`: what one bot's code has in its environment and nobody is shown again."""

import enum
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from flotilla.cli.faults import CommandError
from flotilla.cli.terminal import say, say_json
from flotilla.domain.bot_secrets import MAX_VALUE_BYTES, checked_name, checked_value

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

SET = "flotilla bots secrets NAME set SECRET"


class Action(enum.StrEnum):
    """What is done with the secrets of a bot."""

    LS = "ls"
    SET = "set"
    RM = "rm"


def secrets(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    action: Annotated[Action, typer.Argument(metavar="[ls|set|rm]", help="List, set or remove.")] = Action.LS,
    secret: Annotated[
        str | None, typer.Argument(metavar="[SECRET]", help="Name of the environment variable, such as SHOP_DB_URL.")
    ] = None,
    extra: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="File that holds the value; one newline at its end is left out.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the bot, so that it has it at once; its session is kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List a bot's secrets by name, set one, or remove one. What is set is never shown again.

    The value is asked for, or read from stdin or --file. The bot has it in its environment from its next start on.
    """
    if action is Action.LS:
        if secret is not None or extra or file is not None or restart:
            raise typer.BadParameter("ls takes nothing but the bot's name.")
        _list(name, as_json=as_json)
        return
    variable = _variable(secret, extra or ())
    with _api() as api:
        bot = api.bot_named(name)
        path = f"/bots/{bot['id']}/secrets/{variable}"
        if action is Action.SET:
            api.put(path, {"value": read_value(file)})
        else:
            api.delete(path)
    _then(bot, f"{variable} of {name} is {'set' if action is Action.SET else 'removed'}.", restart=restart)


def _list(name: str, *, as_json: bool) -> None:
    with _api() as api:
        found = api.get(f"/bots/{api.bot_named(name)['id']}/secrets")
    if as_json:
        say_json(found)
    elif found["items"]:
        from flotilla.cli.render import console  # noqa: PLC0415

        console().print(secrets_table(found))
    else:
        say(f"{name} has no secrets. Set one: flotilla bots secrets {name} set SECRET")


def _then(bot: dict[str, Any], done: str, *, restart: bool) -> None:
    """Say from when on it holds, and restart the bot for it if that is wanted."""
    name = bot["name"]
    if bot["desired"] == "stopped":
        say(f"{done} The bot is stopped; it holds when it starts: flotilla bots start {name}")
    elif not restart:
        say(f"{done} The bot goes on with what it has until its next start: flotilla bots restart {name}")
    else:
        say(done)
        from flotilla.cli.bots import ask_each  # noqa: PLC0415 - bots has this command

        ask_each([name], "restart", wait=True)


def _variable(secret: str | None, extra: "list[str] | tuple[str, ...]") -> str:
    """Return the variable's name. Raises CommandError (`secret_in_argv`), BadParameter, FixInputError."""
    unknown = [word for word in extra if word.startswith("-") and not word.startswith("--value")]
    if unknown and len(unknown) == len(extra):
        raise typer.BadParameter(f"No such option: {unknown[0].partition('=')[0]}")
    if extra or "=" in (secret or ""):
        raise CommandError(
            "A secret's value is not taken from the command line: every user of this machine can see it there, and "
            f"your shell keeps it in its history. Type it when asked, or pipe it in: {SET} < value-file. "
            "A value that was given this way should be changed where it comes from.",
            code="secret_in_argv",
        )
    if secret is None:
        raise typer.BadParameter(f"Say which one: {SET}")
    return checked_name(secret)


def read_value(file: Path | None, stream: TextIO | None = None, prompt: Callable[[str], str] = getpass.getpass) -> str:
    """Return a value that may be stored: of a file, or of `stream` (stdin), asked unseen if that is a terminal.

    One newline at its end is not part of it. Raises CommandError, FixInputError (`secret_value_invalid`).
    """
    source = stream or sys.stdin
    if file is not None:
        given = _of_file(file)
    elif source.isatty():
        given = prompt("Value (not shown): ")
    else:
        given = source.read(MAX_VALUE_BYTES + 2)
    if given.endswith("\n"):
        given = given[:-1].removesuffix("\r")
    if not given:
        raise CommandError(
            f"No value was given. Type it when asked, or pipe it in: {SET} < value-file", code="secret_missing"
        )
    return checked_value(given)


def _of_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_VALUE_BYTES + 2).decode()
    except OSError as fault:
        raise CommandError(f"{file} cannot be read: {fault.strerror}.", code="secret_missing") from None
    except UnicodeDecodeError:
        raise CommandError(
            f"{file} is not UTF-8 text, or larger than a secret may be.", code="secret_missing"
        ) from None


def secrets_table(found: dict[str, Any]) -> "RenderableType":
    """Return a table of secrets: names and times."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment, now, table  # noqa: PLC0415

    shown = table("SECRET", "CHANGED", "BY")
    for row in found["items"]:
        shown.add_row(row["name"], moment(row["changed_at"], now()), Text(row["changed_by"]))
    return shown


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
