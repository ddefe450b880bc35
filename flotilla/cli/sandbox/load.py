"""Load on demand: many users at once, and how fast the bots answer them."""

import time
from typing import Annotated, Any

import typer

from flotilla.cli.common import LOOK_EVERY_S
from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.options import AsJson, Bots, Url, Values, sandbox, tell
from flotilla.cli.terminal import end_line, rewrite_line, say

Json = dict[str, Any]
RUNNING = "running"


def load(
    command: Annotated[str, typer.Option("--command", "-c", help="Such as /ping or '/stock show'.")],
    option: Values = None,
    users: Annotated[int, typer.Option("--users", min=1, help="How many users.")] = 10,
    rate: Annotated[float, typer.Option("--rate", help="Commands a second of each user.")] = 1.0,
    lasting: Annotated[str, typer.Option("--seconds", help="How long; 10, or 90s, 5m.")] = "10",
    bot: Bots = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Repeats who asks which bot.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Let many users use a command of the bots given, or of all that are connected; Ctrl-C stops it.

    Exit code 1 if no command was answered.
    """
    body: Json = {
        "command": values.command_name(command),
        "options": values.pairs(option),
        "users": users,
        "per_second": rate,
        "seconds": values.seconds(lasting),
    }
    with sandbox(url) as (control, names):
        wanted = names.application_ids(bot)
        body |= {} if wanted is None else {"applications": wanted}
        body |= {} if seed is None else {"seed": seed}
        begun = control.post("/load", body)
        try:
            last = _follow(control, begun, quiet=as_json)
        except KeyboardInterrupt:
            _tell(control.delete(f"/load/{begun['id']}"), as_json=as_json)
            raise
    _tell(last, as_json=as_json)
    if not last["answered"] + last["deferred"]:
        raise typer.Exit(1)


def loads(
    stop: Annotated[int | None, typer.Option("--stop", metavar="ID", help="Stop this load.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the loads that go on and those that ended lately."""
    from flotilla.cli.sandbox.load_view import loads_table  # noqa: PLC0415 - rich is slow to load

    with sandbox(url) as (control, _):
        found = control.items("/load") if stop is None else [control.delete(f"/load/{stop}")]
    if found or as_json:
        tell(found, lambda _: [loads_table(found)], as_json=as_json)
    else:
        say("There was no load yet. Start one with: flotilla sandbox load --command /ping")


def _follow(control: Any, begun: Json, *, quiet: bool) -> Json:  # noqa: ANN401 - a Control
    """Return how the load ended, showing how it goes meanwhile."""
    from flotilla.cli.sandbox.load_view import progress  # noqa: PLC0415

    last, began_s = begun, time.monotonic()
    try:
        while last["state"] == RUNNING:
            if not quiet:
                rewrite_line(f"{time.monotonic() - began_s:.1f} s: {progress(last)} …")
            time.sleep(LOOK_EVERY_S)
            last = control.get(f"/load/{begun['id']}")
    finally:
        if not quiet:
            end_line()
    return last


def _tell(report: Json, *, as_json: bool) -> None:
    from flotilla.cli.sandbox.load_view import load_lines  # noqa: PLC0415

    tell(report, lambda _: load_lines(report), as_json=as_json)
