"""`flotilla happenings`: what happened to bots and to the host."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.terminal import say, say_json

if TYPE_CHECKING:
    from flotilla.cli.drawing import RenderableType


LINE = 80


def happenings(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only of this bot.")] = None,
    severity: Annotated[str | None, typer.Option("--severity", help="info, warning or critical.")] = None,
    code: Annotated[str | None, typer.Option("--code", help="Only this kind, such as guild_left.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="flotilla, or discord: what Discord did to the bots.")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what happened that somebody should know, the newest first."""
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    with Api.of(load_settings()) as api:
        if name is not None:
            api.bot_named(name)
        pages = api.pages("/happenings", bot=name, severity=severity, code=code, source=source)
        found = list(itertools.islice(pages, count))
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import console, now  # noqa: PLC0415

    if found:
        console().print(happenings_table(found, now()))
    else:
        say("Nothing happened that somebody should know.")


def happenings_table(found: Iterable[Mapping[str, Any]], now: datetime) -> "RenderableType":
    """Return a table of happenings."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment, table  # noqa: PLC0415

    shown = table("WHEN", "BOT", "SEVERITY", "WHAT", "DETAIL")
    for row in found:
        severity = Text(row["severity"], style=_STYLES.get(row["severity"], ""))
        shown.add_row(
            moment(row["at"], now), row["bot_name"] or "(host)", severity, row["title"], detail(row["detail"])
        )
    return shown


_STYLES = {"critical": "bold red", "warning": "yellow"}


def detail(facts: Mapping[str, Any]) -> str:
    """Return the figures of a happening in one line; long texts, and what has parts, are left to `--json`."""
    return ", ".join(f"{name} {_figure(value)}" for name, value in facts.items() if _is_short(value))


def _is_short(value: object) -> bool:
    return len(value) <= LINE if isinstance(value, str) else not isinstance(value, dict | list)


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
