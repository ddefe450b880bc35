"""`flotilla commands`: what users did with the bots."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.terminal import say, say_json

if TYPE_CHECKING:
    from flotilla.cli.drawing import RenderableType

_STYLES = {"failed": "bold red", "unanswered": "bold red", "late": "yellow"}


def commands(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only of this bot.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="answered, failed, unanswered or late.")] = None,
    command: Annotated[str | None, typer.Option("--command", help="Only this command or custom id.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only of this Discord user.")] = None,
    guild: Annotated[str | None, typer.Option("--guild", help="Only in this guild.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The reference that a user was shown with an error.")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what users did with the bots, the newest first."""
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    with Api.of(load_settings()) as api:
        if name is not None:
            api.bot_named(name)
        pages = api.pages(
            "/command-logs", bot=name, outcome=outcome, name=command, user=user, guild=guild, reference=reference
        )
        found = list(itertools.islice(pages, count))
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import console, now  # noqa: PLC0415

    if found:
        console().print(commands_table(found, now()))
    else:
        say("No such command was used.")


def commands_table(found: Iterable[Mapping[str, Any]], now: datetime) -> "RenderableType":
    """Return a table of command logs."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment, table  # noqa: PLC0415

    shown = table("WHEN", "BOT", "WHAT", "USER", "GUILD", "OUTCOME", "FIRST RESPONSE", "TOTAL", "ERROR", "REFERENCE")
    for row in found:
        what = f"/{row['name']}" if row["kind"] == "command" else f"{row['kind']} {row['name']}"
        first = _ms(row["first_ms"]) + (" (deferred)" if row["deferred"] else "")
        shown.add_row(
            moment(row["at"], now),
            row["bot_name"],
            Text(what),
            row["user_id"],
            row["guild_id"] or "-",
            Text(row["outcome"], style=_STYLES.get(row["outcome"], "")),
            first,
            _ms(row["total_ms"]),
            Text(row["error"] or "-"),
            row["reference"] or "-",
        )
    return shown


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
