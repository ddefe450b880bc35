"""`flotilla bots policy` and `flotilla happenings`."""

import json
import re
from typing import Any

import pytest


def rows(text: str) -> dict[str, list[str]]:
    return {cells[0]: cells[1:] for line in text.splitlines() if (cells := re.split(r"\s{2,}", line.strip()))}


def test_policy_shows_every_knob_and_what_is_the_bots_own(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    shown = rows(cli("bots", "policy", "shop", "memory_limit_mb=128", "delivery_probe=off").out)
    assert shown["memory_limit_mb"] == ["128", "512"]
    assert shown["delivery_probe"] == ["off", "on"]
    assert shown["restart_policy"] == ["always"]
    found = json.loads(cli("bots", "policy", "shop", "--json").out)
    assert found["own"] == {"memory_limit_mb": 128, "delivery_probe": False}


def test_policy_goes_back_to_the_fleets(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    cli("bots", "policy", "shop", "memory_limit_mb=128", "restart_policy=never")
    shown = rows(cli("bots", "policy", "shop", "memory_limit_mb=fleet").out)
    assert (shown["memory_limit_mb"], shown["restart_policy"]) == (["512"], ["never", "always"])


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ("memory_limit_mb", 2, "is not KNOB=VALUE"),
        ("=1", 2, "is not KNOB=VALUE"),
        ("memory_limit_mb=", 2, "is not KNOB=VALUE"),
        ("memory_limit_mb=5", 1, "memory_limit_mb"),
        ("memory=5", 1, "A bot's policy has no memory"),
        ("restart_policy=sometimes", 1, "restart_policy"),
    ],
)
def test_policy_that_cannot_be_is_told(cli: Any, fleet: Any, change: str, code: int, told: str) -> None:
    fleet.add("shop")
    result = cli("bots", "policy", "shop", change)
    assert result.code == code
    assert told in re.sub(r"[\s│]+", " ", result.err)
    assert fleet.overrides.get("id-shop", {}) == {}


def a_happening(name: str | None, severity: str, **detail: Any) -> dict[str, Any]:
    return {
        "at": "2026-05-01T11:00:00Z",
        "bot_name": name,
        "severity": severity,
        "title": "session went deaf",
        "detail": detail,
    }


def test_happenings_are_listed_and_narrowed(cli: Any, fleet: Any) -> None:
    assert "Nothing happened" in cli("happenings").out
    fleet.add("shop")
    fleet.happenings = [a_happening("shop", "warning", quiet_s=50.123, heap="x" * 200), a_happening(None, "critical")]
    out = cli("happenings").out
    assert "session went deaf" in out
    assert "quiet_s 50.1" in out
    assert "xxx" not in out
    assert "(host)" in out
    assert "(host)" not in cli("happenings", "shop").out
    assert "shop" not in cli("happenings", "--severity", "critical").out
    assert len(json.loads(cli("happenings", "--json", "-n", "1").out)) == 1
    assert "no bot called" in cli("happenings", "nemo").err
