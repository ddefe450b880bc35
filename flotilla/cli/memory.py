"""`flotilla bots heap`, and how growth and a heap look."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.faults import CommandError
from flotilla.cli.inspect import Name, await_answer
from flotilla.cli.terminal import say_json

if TYPE_CHECKING:
    from flotilla.cli.drawing import RenderableType

ANSWER_S = 25.0
LONGEST_TRACE_S = 300
_MIB = 1024 * 1024
_HOUR_S = 3600
Trace = Annotated[
    float, typer.Option("--trace", metavar="SECONDS", min=0, max=LONGEST_TRACE_S, help="Trace allocations first.")
]


def heap(
    name: Name, trace: Trace = 0.0, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show what a bot's memory is made of: types, counts and sizes, never values. With --trace also from which lines.

    Tracing makes the bot slower while it lasts.
    """
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    with Api.of(load_settings()) as api:
        path = f"/bots/{api.bot_named(name)['id']}/heap"
        answer = await_answer(api, path, api.post(path, {"trace_s": trace})["epoch"], ANSWER_S + trace)
    if answer is None:
        raise CommandError(
            f"No answer within {ANSWER_S + trace:.0f} s: the supervisor is away or busy. See: flotilla status",
            code="timeout",
        )
    if answer.get("fault"):
        raise CommandError(str(answer["fault"]), code="no_heap")
    if as_json:
        say_json(answer)
        return
    from flotilla.cli.render import console  # noqa: PLC0415

    screen = console()
    for part in heap_view(answer["report"]):
        screen.print(part)


def growing(vitals: Mapping[str, Any]) -> str:
    """Return how memory grows, in words; empty if it is not on its way to its limit."""
    from flotilla.cli.render import duration  # noqa: PLC0415

    slope_bytes_s, full_in_s = vitals.get("memory_slope_bytes_s"), vitals.get("memory_full_in_s")
    if full_in_s is not None and slope_bytes_s:
        rate = slope_bytes_s * _HOUR_S / _MIB
        return f"grows {rate:.0f} MiB an hour, full in {duration(full_in_s)}"
    return ""


def heap_view(report: Mapping[str, Any]) -> "Iterator[RenderableType]":
    """Yield what `heap` prints."""
    from flotilla.cli.render import memory, table  # noqa: PLC0415

    caches = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report["caches"].items())
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Alone (USS)", memory(report["uss_bytes"]))
    facts.add_row("With what is shared (RSS)", memory(report["rss_bytes"]))
    facts.add_row("In Python objects", f"{memory(report['counted_bytes'])}, {report['objects']} of them tracked")
    facts.add_row("hikari keeps", caches or "nothing")
    if report["one_in"] > 1:
        facts.add_row("Looked at", f"one object in {report['one_in']}; figures are extrapolated")
    yield facts
    types = table("TYPE", "COUNT", "MEMORY")
    for row in report["types"]:
        types.add_row(row["name"], str(row["count"]), memory(row["bytes"]))
    yield types
    if report["allocations"] is not None:
        yield f"Allocated in {report['traced_s']:g} s and still there:"
        places = table("WHERE", "COUNT", "MEMORY")
        for row in report["allocations"]:
            places.add_row(row["where"], str(row["count"]), memory(row["bytes"]))
        yield places
