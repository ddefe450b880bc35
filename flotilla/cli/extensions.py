"""`flotilla extensions …`: bots' own code, before any bot runs it."""

import re
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
    found = [dry_run(name, folders, timeout) for name in names]
    if as_json:
        say_json([row | {"ok": row["problem"] is None} for row in found])
    else:
        for number, row in enumerate(found):
            if number:
                say()
            say_lines(map(redact_text, told(row)))
    if any(row["problem"] for row in found):
        raise typer.Exit(1)


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
