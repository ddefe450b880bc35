"""`flotilla extensions …`: bots' own code, before any bot runs it."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from flotilla.cli.terminal import say, say_json, say_lines

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?")
SHOWN_LINES = 20
SHOWN_CHARS = 300

app = typer.Typer(no_args_is_help=True, help="Try bots' own code before a bot runs it.")


@app.callback()
def extensions() -> None:
    """Try bots' own code before a bot runs it."""


@app.command("check")
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="package.module, or package.module:create_bot.")],
    path: Annotated[
        list[Path] | None,
        typer.Option(
            "--path", help="Folder where it lies; otherwise FLOTILLA_EXTENSIONS_PATH.", exists=True, file_okay=False
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME",
            help="A variable of this shell that it gets, as the bot has a secret; several times.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1.0, help="Seconds for each of them.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start extensions or whole bots against a stub, each in a process of its own. Exit code 1 if one does not work.

    Nothing reaches Discord, and no bot of the fleet notices.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise typer.BadParameter(f"{name[:80]!r} is neither package.module nor package.module:function.")
    from flotilla.cli.dryrun import dry_run  # noqa: PLC0415
    from flotilla.redaction import redact_text  # noqa: PLC0415

    folders = [str(folder.resolve()) for folder in path or _folder_of_settings()]
    also = _set_here(env or ())
    found = [dry_run(name, folders, timeout, also) for name in names]
    if as_json:
        say_json([_redacted(row) | {"ok": row["problem"] is None} for row in found])
    else:
        for number, row in enumerate(found):
            if number:
                say()
            say_lines(map(redact_text, told(row)))
    if any(row["problem"] for row in found):
        raise typer.Exit(1)


def _redacted(row: dict[str, Any]) -> dict[str, Any]:
    from flotilla.redaction import redact_text  # noqa: PLC0415

    return {name: redact_text(value) if isinstance(value, str) else value for name, value in row.items()}


def _set_here(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of variables that are set in this shell. Raises BadParameter, never repeating what may be secret."""
    from flotilla.domain.environment import NEVER  # noqa: PLC0415
    from flotilla.redaction import hide  # noqa: PLC0415

    wanted = tuple(names)
    if any(name not in os.environ for name in wanted):
        raise typer.BadParameter("--env takes the name of a variable that is set in this shell, and not its value.")
    if any(name.startswith(NEVER) for name in wanted):
        raise typer.BadParameter("Settings of Flotilla's own are not for bots; no secret can have such a name.")
    hide(os.environ[name] for name in wanted)
    return wanted


def told(row: dict[str, Any]) -> list[str]:
    """Return a report as lines for a person."""
    head = "works" if row["problem"] is None else "does not work"
    lines = [f"{row['name']} {head}." + (f" {row['problem']}" if row["problem"] else "")]
    if row["traceback"]:
        lines += row["traceback"].rstrip().splitlines()
    if row["commands"]:
        lines.append("It registers:")
        lines += [_command(command) for command in row["commands"]]
    elif row["problem"] is None:
        lines.append("It registers no commands.")
    lines += row["notes"]
    printed = row["printed"].strip().splitlines()
    if printed:
        lines += ["It printed:", *(f"  {line[:SHOWN_CHARS]}" for line in printed[-SHOWN_LINES:])]
    return lines


def _command(command: dict[str, Any]) -> str:
    name = f"/{command['name']}" if command["type"] == "slash" else f"{command['name']} (on a {command['type']})"
    shown = "  " + " ".join([name, *(f"[{option}]" for option in command["options"])])
    where = f" (in the guild {command['guild_id']})" if command["guild_id"] else ""
    return f"{shown:<27}  {command['description']}{where}".rstrip()


def _folder_of_settings() -> list[Path]:
    from flotilla.settings import load_settings  # noqa: PLC0415

    folder = load_settings().extensions_path
    return [] if folder is None else [folder]
