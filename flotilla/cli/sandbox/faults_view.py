"""What faults look like: those asked for, and the kinds there are. Pure."""

import shlex
from collections.abc import Iterable
from typing import Any

from flotilla.cli.drawing import Table, Text
from flotilla.cli.render import table
from flotilla.cli.sandbox.tables import NameOf, numbered, some
from flotilla.cli.sandbox.text import duration, one_line, remaining

Json = dict[str, Any]
_STATES = {"active": "red", "scheduled": "yellow", "over": "dim"}
_COMMON = ("kind", "applications", "after_s", "for_s", "every_s", "probability", "seed")
_REPORTED = ("id", "state", "waves", "struck", "left_s")


def faults_table(faults: Iterable[Json], name_of: NameOf) -> Table:
    """Return a line per fault."""
    made = numbered("ID", "KIND", "STATE", "STRUCK", "LEFT", "BOTS", "WITH", numbers=["ID", "STRUCK", "LEFT"])
    for row in faults:
        bots = "all" if row["applications"] is None else some(one_line(name_of(each)) for each in row["applications"])
        left = "-" if row["left_s"] is None else remaining(row["left_s"])
        state = Text(row["state"], style=_STATES.get(row["state"], ""))
        made.add_row(str(row["id"]), row["kind"], state, str(row["struck"]), left, bots, _asked(row))
    return made


def _asked(row: Json) -> str:
    """Return what was asked of a fault, in the words of the command line."""
    own = [
        f"{name}={shlex.quote(_typed(value))}"
        for name, value in row.items()
        if name not in {*_COMMON, *_REPORTED} and value is not None
    ]
    times = [
        f"--{option} {duration(row[name])}"
        for option, name in (("after", "after_s"), ("for", "for_s"), ("every", "every_s"))
        if row.get(name)
    ]
    chance = [] if row["probability"] == 1 else [f"--probability {row['probability']:g}"]
    return " ".join([*own, *times, *chance, f"--seed {row['seed']}"])


def kinds_table(kinds: Iterable[Json]) -> Table:
    """Return a line per kind of fault; a star marks those that strike connections at a moment."""
    made = table("KIND", "WHAT HAPPENS", "FIELDS")
    for row in kinds:
        star = "*" if any(field["name"] == "every_s" for field in row["fields"]) else ""
        fields = [_field(field) for field in row["fields"] if field["name"] not in _COMMON]
        made.add_row(Text(f"{row['kind']}{star}", no_wrap=True), row["description"], Text.lines(fields or ["-"]))
    return made


def _field(field: Json) -> str:
    name, value = str(field["name"]), field.get("default")
    if "enum" in field:
        return f"{name}={'|'.join(map(str, field['enum']))}"
    if value is None:
        return f"{name}='POST /channels/'" if name == "route" else f"{name} (required)" if field["required"] else name
    return f"{name}={_typed(value)}"


def _typed(value: object) -> str:
    """Return a value as it is typed on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
