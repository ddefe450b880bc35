from typing import Any

import pytest

from worker_bot.command_rules import faults, kind_of


def slash(name: str = "buy", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "d", **more}


def option(name: str, **more: Any) -> dict[str, Any]:
    return {"type": 3, "name": name, "description": "d", **more}


@pytest.mark.parametrize(
    "command",
    [
        slash(),
        slash("größe"),
        slash("सूची"),
        slash(options=[option("a", required=True), option("b")]),
        slash(options=[{"type": 2, "name": "g", "description": "d", "options": [{"type": 1, **slash("s")}]}]),
        {"type": 2, "name": "Who is it?"},
        {"type": 3, "name": "Report"},
    ],
)
def test_what_discord_takes_has_no_fault(command: dict[str, Any]) -> None:
    assert faults([command]) == ()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (slash("Buy"), "/Buy: a name has"),
        (slash("b" * 33), "a name has"),
        (slash("buy it"), "/buy it: a name has"),
        (slash(description=""), "/buy: a description has 1 to 100"),
        (slash(options=[option("x", description="d" * 101)]), "/buy, option x: a description"),
        (slash(options=[option("a"), option("b", required=True)]), "b is required and stands behind"),
        (slash(options=[option(f"o{n}") for n in range(26)]), "26 options"),
        (slash(options=[option("o", choices=[{}] * 26)]), "option o: it has 26 choices"),
        (slash(options=[{"type": 1, **slash("S")}]), "/buy S: a name has"),
        ({"type": 2, "name": ""}, "a name has 1 to 32 characters"),
    ],
)
def test_what_discord_refuses_is_named_with_its_place(command: dict[str, Any], words: str) -> None:
    (fault,) = faults([command])
    assert words in fault


def test_names_are_counted_by_kind() -> None:
    assert faults([slash("a"), {"type": 2, "name": "a"}]) == ()
    assert faults([slash("a"), slash("a")]) == ("There are 2 slash commands named a.",)
    assert faults(slash(f"c{n}") for n in range(101)) == ("There are 101 slash commands; Discord takes 100.",)
    assert (kind_of({"type": 4}), kind_of({"type": 5})) == ("entry point", "other")
