"""What a load looks like: on its way, when it is over, and beside others. Pure."""

from collections.abc import Iterable
from typing import Any

from flotilla.cli.drawing import Drawn, RenderableType, Table, Text
from flotilla.cli.sandbox.tables import numbered
from flotilla.cli.sandbox.text import milliseconds

Json = dict[str, Any]
_OUTCOMES = {
    "answered": "",
    "deferred": "",
    "timed_out": "red",
    "not_connected": "yellow",
    "pending": "",
}
_PERCENTILES = ("p50", "p95", "p99", "max")


def progress(report: Json) -> str:
    """Return how far a load is, in words."""
    counts = [f"{report[name]} {_word(name)}" for name in _OUTCOMES if report[name] or name == "answered"]
    return f"{report['sent']} sent, " + ", ".join(counts)


def load_lines(report: Json) -> list[RenderableType]:
    """Return how a load ended: the counts, then how long the bots took to respond."""
    reason = f" ({report['reason']})" if report.get("reason") else ""
    made = numbered("WHAT", "COUNT", "SHARE", numbers=["COUNT", "SHARE"])
    made.show_header = False
    made.add_row("sent", str(report["sent"]), f"{report['dispatched_per_s'] or 0:.1f} a second")
    for name, style in _OUTCOMES.items():
        count = report[name]
        if count or name != "pending":
            share = f"{100 * count / report['sent']:.1f} %" if report["sent"] else "-"
            made.add_row(_word(name), Text(str(count), style=style if count else ""), share)
    return [Text(f"Load {report['id']} is {report['state']}{reason}.", style="bold"), made, _times(report)]


def _times(report: Json) -> Drawn:
    if report["elapsed_ms"] is None:
        return Text("Nobody answered.")
    parts = [f"{name} {milliseconds(report['elapsed_ms'][name])}" for name in _PERCENTILES]
    return Text("To the first response: " + ", ".join(parts) + ".")


def loads_table(loads: Iterable[Json]) -> Table:
    """Return a line per load."""
    counts = ("ID", "SENT", "ANSWERED", "DEFERRED", "TIMED OUT", "P50", "P95", "MAX")
    made = numbered("ID", "STATE", *counts[1:], numbers=counts)
    for row in loads:
        times = row["elapsed_ms"]
        shown = ["-"] * 3 if times is None else [milliseconds(times[name]) for name in ("p50", "p95", "max")]
        outcomes = [str(row[name]) for name in ("sent", "answered", "deferred", "timed_out")]
        made.add_row(str(row["id"]), row["state"], *outcomes, *shown)
    return made


def _word(name: str) -> str:
    return name.replace("_", " ")
