"""What the tables of `flotilla sandbox` show. Pure: facts in, a table out."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from flotilla.cli.drawing import Table, Text
from flotilla.cli.render import table
from flotilla.cli.sandbox.text import duration, one_line

Json = dict[str, Any]
NameOf = Callable[[str], str]
_SHOWN_MAX = 6


def numbered(*columns: str, numbers: Iterable[str]) -> Table:
    """Return an empty table in the house's look, with `numbers` aligned to the right."""
    made = table(*columns)
    for column in made.columns:
        if column.header in set(numbers):
            column.justify = "right"
    return made


def applications_table(applications: Iterable[Json]) -> Table:
    """Return a line per application."""
    counts = ("SESSIONS", "RESUMABLE", "IDENTIFIES", "RESUMES", "LEFT", "GUILDS", "COMMANDS")
    made = numbered("NAME", "ID", *counts, numbers=counts)
    for row in applications:
        connected = row["sessions_connected"]
        made.add_row(
            one_line(row["name"]),
            row["id"],
            Text(str(connected), style="green" if connected else "yellow"),
            str(row["sessions_resumable"]),
            str(row["identifies"]),
            str(row["resumes"]),
            str(row["remaining"]),
            str(row["guilds"]),
            str(row["commands_registered"]),
        )
    return made


def application_details(row: Json) -> Table:
    """Return everything known of one application, a fact a line."""
    refused = "refused" if row["privileged_intents_refused"] else "granted"
    return _facts(
        ("Name", one_line(row["name"])),
        ("Id", row["id"]),
        ("Home guild", row["guild_id"]),
        ("Home channel", row["channel_id"]),
        ("Owner", row["owner_id"]),
        ("Guilds", str(row["guilds"])),
        ("Sessions", f"{row['sessions_connected']} connected, {row['sessions_resumable']} to be resumed"),
        ("So far", f"{row['identifies']} identifies, {row['resumes']} resumes"),
        ("Starts left", str(row["remaining"])),
        ("Token", f"reset {row['token_resets']} times" if row["token_resets"] else "never reset"),
        ("Privileged", f"intents are {refused}"),
        ("Commands", ", ".join(f"/{one_line(name)}" for name in row["commands"]) or "none registered"),
    )


def _facts(*facts: tuple[str, str]) -> Table:
    made = table("FACT", "VALUE")
    made.show_header = False
    for fact in facts:
        made.add_row(*fact)
    return made


def guilds_table(guilds: Iterable[Json], name_of: NameOf) -> Table:
    """Return a line per guild."""
    made = numbered("NAME", "ID", "MEMBERS", "CHANNELS", "BOTS", numbers=["MEMBERS"])
    for row in guilds:
        channels = some(f"#{one_line(each['name'])}" for each in row["channels"])
        bots = some(one_line(name_of(each)) for each in row["applications"])
        made.add_row(one_line(row["name"]), row["id"], str(row["members"]), channels, bots)
    return made


def channels_table(channels: Iterable[Json]) -> Table:
    """Return a line per channel."""
    made = table("NAME", "ID", "TYPE")
    for row in channels:
        made.add_row(f"#{one_line(row['name'])}", row["id"], row["type"].removeprefix("guild_"))
    return made


def limits_table(limits: Json, switches: Mapping[str, str]) -> Table:
    """Return a line per limit, whether it is enforced, and what it is."""
    made = table("LIMIT", "ENFORCED", "WHAT IT IS")
    for name, what in switches.items():
        numbers = (
            f": {limits['invalid_requests_max']} in {duration(limits['invalid_requests_window_s'])}, "
            f"then banned for {duration(limits['ban_s'])}"
        )
        shown = Text("on", style="green") if limits[name] else Text("off", style="yellow")
        made.add_row(name, shown, what + (numbers if name == "invalid_requests" else ""))
    return made


def addresses_table(addresses: Iterable[Json], name_of: NameOf) -> Table:
    """Return a line per address: its invalid requests, whose they are, and until when it is banned."""
    made = numbered("ADDRESS", "INVALID", "LIMIT", "BANNED UNTIL", "BY BOT", numbers=["INVALID", "LIMIT"])
    for row in addresses:
        by_bot = [
            f"{one_line(name_of(bot))}: " + ", ".join(f"{count} with {status}" for status, count in counts.items())
            for bot, counts in row["by_application"].items()
        ]
        until = "-" if row["banned_until"] is None else _clock_time(row["banned_until"])
        made.add_row(
            row["address"], str(row["invalid_requests"]), str(row["limit"]), until, Text.lines(by_bot or ["-"])
        )
    return made


def unknown_table(requests: Iterable[Json]) -> Table:
    """Return a line per request for a route that is not there."""
    made = table("AT", "STATUS", "METHOD", "PATH")
    for row in requests:
        made.add_row(_clock_time(row["at"]), str(row["status"]), row["method"], one_line(row["path"]))
    return made


def some(names: Iterable[str]) -> str:
    """Return some of the names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _SHOWN_MAX} more" if len(every) > _SHOWN_MAX else ""
    return ", ".join(every[:_SHOWN_MAX]) + more or "-"


def _clock_time(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"
