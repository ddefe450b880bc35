"""What the tables show. Pure: facts in, text or a table out."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flotilla.cli.drawing import Console, Table, Text

WIDTH_OF_A_PIPE = 2000
_MIB = 1024 * 1024
_COLOURS = {
    "RUNNING": "green",
    "STARTING": "cyan",
    "STOPPING": "cyan",
    "BACKOFF": "yellow",
    "FATAL": "red",
    "succeeded": "green",
    "running": "cyan",
    "failed": "red",
    "cancelled": "yellow",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console that wraps for a terminal and gives whole lines to a pipe."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=WIDTH_OF_A_PIPE)


def memory(size: int | None) -> str:
    """Return bytes as MiB."""
    return "-" if size is None else f"{size / _MIB:.1f} MiB"


def latency(milliseconds: float | None) -> str:
    """Return a round trip in milliseconds."""
    return "-" if milliseconds is None else f"{milliseconds:.0f} ms"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage; never 100 % for less than all of the time."""
    if ratio is None:
        return "-"
    cut = int(ratio * 100_000) / 1000
    return f"{cut:.2f} %" if ratio >= 1 else f"{int(cut * 100) / 100:.2f} %"


def moment(text: str | None, now: datetime) -> str:
    """Return how long ago an ISO time was, in its largest unit."""
    if text is None:
        return "-"
    passed_s = max(0, int((now - datetime.fromisoformat(text)).total_seconds()))
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed_s >= length_s:
            return f"{passed_s // length_s} {unit} ago"
    return f"{passed_s} s ago"


def ahead(text: str, now: datetime) -> str:
    """Return when an ISO time will be, as a clock shows it here, and in how long."""
    at = datetime.fromisoformat(text)
    return f"in {duration(max(0.0, (at - now).total_seconds()))} ({at.astimezone():%H:%M})"


def coloured(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=_COLOURS.get(state, ""))


def table(*columns: str) -> Table:
    """Return an empty table in the house's look."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in {"NAME", "STATE", "ID"})
    return made


def bots_table(bots: Iterable[Mapping[str, Any]]) -> Table:
    """Return a line per bot."""
    made = table("NAME", "STATE", "READY", "REASON", "PID", "MEMORY", "LATENCY", "UP 24 H")
    for bot in bots:
        made.add_row(
            str(bot["name"]),
            coloured(bot["state"]),
            "yes" if bot["ready"] else "no",
            Text(bot.get("reason") or "-"),
            str(bot.get("pid") or "-"),
            memory(bot.get("memory_bytes")),
            latency(bot.get("latency_ms")),
            percent(bot.get("uptime_ratio_24h")),
        )
    return made


def duration(seconds: float) -> str:
    """Return a span of time in its largest unit and the next."""
    for unit, length_s, lower, part_s in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length_s:
            return f"{seconds // length_s:.0f} {unit} {seconds % length_s // part_s:.0f} {lower}"
    return f"{seconds:.1f} s"


def uptime_facts(uptime: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a bot's uptime, a window a line, and how fast its error budget burns."""
    facts = []
    for name, label in (("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d")):
        window = uptime["windows"][name]
        left_s = window["budget_left_s"]
        if left_s is None:
            facts.append((f"Uptime {label}", "-"))
            continue
        rest = f"{duration(left_s)} left" if left_s >= 0 else f"overdrawn by {duration(-left_s)}"
        down = f"down {duration(window['down_s'])}, budget {duration(window['budget_s'])}, {rest}"
        facts.append((f"Uptime {label}", f"{percent(window['ratio'])} (target {percent(window['target'])}): {down}"))
    day = uptime["windows"]["24h"]
    rates = [
        f"{day[key]:.1f} in the last {span}"
        for key, span in (("burn_rate_1h", "hour"), ("burn_rate_24h", "24 h"))
        if day[key] is not None
    ]
    return [*facts, ("Budget burns", ", ".join(rates) or "-")]


def bot_details(bot: Mapping[str, Any], explanation: str | None, now: datetime, uptime: Mapping[str, Any]) -> Table:
    """Return everything known of one bot, a fact a line. uptime: as the API gives it."""
    made = table("NAME", str(bot["name"]))
    made.show_header = False
    facts: list[tuple[str, str | Text]] = [
        ("Name", str(bot["name"])),
        ("Id", str(bot["id"])),
        ("Application", str(bot.get("application_id") or "-")),
        ("Tags", ", ".join(bot.get("tags") or ()) or "-"),
        ("Wanted", str(bot["desired"])),
        ("State", coloured(bot["state"])),
        ("Since", moment(bot.get("since"), now)),
        ("Ready", "yes" if bot["ready"] else "no"),
        ("Process", f"{bot.get('pid') or '-'} (generation {bot.get('generation', 0)})"),
        ("Memory", memory(bot.get("memory_bytes"))),
        ("Latency", latency(bot.get("latency_ms"))),
        *uptime_facts(uptime),
        ("Created", moment(bot.get("created_at"), now)),
    ]
    if bot.get("reason"):
        if bot.get("next_try_at"):
            facts.append(("Next try", ahead(str(bot["next_try_at"]), now)))
        facts += [("Reason", str(bot["reason"])), ("Meaning", explanation or "-"), ("Remedy", bot.get("remedy") or "-")]
    for name, value in facts:
        made.add_row(name, value)
    return made


def operations_table(operations: Iterable[Mapping[str, Any]], now: datetime) -> Table:
    """Return a line per operation."""
    made = table("ID", "KIND", "STATE", "PROGRESS", "STARTED", "DETAIL")
    for operation in operations:
        made.add_row(
            str(operation["id"]),
            str(operation.get("kind", "restart")),
            coloured(operation["state"]),
            progress(operation),
            moment(operation.get("created_at"), now),
            Text(operation.get("detail") or "-"),
        )
    return made


def items_table(items: Iterable[Mapping[str, Any]]) -> Table:
    """Return a line per bot of an operation."""
    made = table("BOT", "STATE", "DETAIL")
    for item in items:
        made.add_row(item_name(item), coloured(item["state"]), Text(item.get("detail") or "-"))
    return made


def item_name(item: Mapping[str, Any]) -> str:
    """Return the name of the bot an operation's item is about."""
    return str(item.get("bot_name") or item.get("name") or item.get("bot_id"))


def progress(operation: Mapping[str, Any]) -> str:
    """Return how far an operation is, in words."""
    counts = {name: count for name, count in (operation.get("counts") or {}).items() if count}
    done = sum(count for name, count in counts.items() if name not in {"pending", "running"})
    rest = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "pending")
    return f"{done}/{operation.get('total', 0)}" + (f" ({rest})" if rest else "")


BRAKES = {
    "none": "no brake",
    "slow": "all bots are slowed, the worst are held back",
    "vital": "nothing passes but answers to interactions",
}


def fleet_summary(status: Mapping[str, Any], readiness: Mapping[str, Any], now: datetime) -> list[str]:
    """Return the fleet's state, a line per fact."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(status["bots"].items()) if count) or "none"
    lines = [
        f"Bots: {status['total']} ({states})",
        f"Ready: {status['ready']} of {status['desired_running']} that should run",
    ]
    lines += [
        f"Supervisor of slot {row['slot']}: process {row['pid']}, seen {moment(row.get('seen_at'), now)}"
        for row in status["supervisors"]
    ] or ["Supervisor: none has reported yet"]
    lines += [
        f"Requests that Discord refused to the host of slot {row['slot']} in the last 10 minutes: "
        f"{row['vitals']['invalid_requests_10m']} of {row['vitals']['invalid_requests_limit']} "
        f"({BRAKES.get(row['vitals']['brake'], row['vitals']['brake'])})"
        for row in status["supervisors"]
        if "vitals" in row
    ]
    lines += [
        f"✖ Bots for which the supervisor of slot {row['slot']} cannot do something: {row['vitals']['set_aside']}. "
        "Which and why: flotilla doctor"
        for row in status["supervisors"]
        if row.get("vitals", {}).get("set_aside")
    ]
    return [*lines, *readiness_lines(readiness), f"Version: {status['version']}"]


def readiness_lines(readiness: Mapping[str, Any]) -> list[str]:
    """Return what /readyz looked at, a line each."""
    return [
        f"{'✔' if part['ok'] else '✖'} {name}" + (f": {part['detail']}" if part.get("detail") else "")
        for name, part in readiness.items()
        if isinstance(part, dict) and "ok" in part
    ]


def now() -> datetime:
    """Return the time tables are relative to."""
    return datetime.now(UTC)
