"""`flotilla webhooks`, and the metrics of `flotilla bots inspect`."""

import json
from typing import Any

import pytest

from flotilla.cli import webhooks as module

DELIVERY = {
    "id": "d1",
    "kind": "test",
    "state": "delivered",
    "attempts": 1,
    "created_at": "2026-05-01T11:00:00Z",
    "next_at": None,
    "last_status": 204,
    "last_error": None,
}
FAILED = DELIVERY | {"state": "pending", "last_status": 500, "last_error": "answered with status 500"}


def test_webhooks_are_added_shown_switched_and_removed(cli: Any, fleet: Any) -> None:
    assert "no webhooks" in cli("webhooks", "ls").out
    fleet.add("shop")
    added = cli("webhooks", "add", "https://example.org/x", "--kind", "fatal", "--bot", "shop", "--tag", "eu")
    assert added.out.splitlines() == [
        "Added w0. Its secret, shown this once:",
        "whsec_shown-once",
        "Try it: flotilla webhooks test w0",
    ]
    assert fleet.received[-1][2] == {
        "url": "https://example.org/x",
        "kinds": ["fatal"],
        "bots": ["id-shop"],
        "tags": ["eu"],
    }
    assert json.loads(cli("webhooks", "add", "https://example.org/y", "--json").out)["webhook"]["kinds"] == []
    listed = cli("webhooks", "ls").out
    assert "https://example.org/x" in listed
    assert len(json.loads(cli("webhooks", "ls", "--json").out)) == 2
    fleet.delivery = FAILED | {"next_at": "2026-05-01T12:00:00Z"}
    fleet.webhooks["w0"] |= {"why_disabled": "it failed for 3 days", "dropped": 4, "last_at": "2026-05-01T11:00:00Z"}
    shown = cli("webhooks", "show", "w0").out
    for text in ("kinds: fatal", "Switched off: it failed", "4 happenings found", "answered with status 500"):
        assert text in shown
    assert json.loads(cli("webhooks", "show", "w0", "--json").out)["deliveries"] == [fleet.delivery]
    assert cli("webhooks", "disable", "w0").out == "w0 is off.\n"
    assert not fleet.webhooks["w0"]["enabled"]
    assert cli("webhooks", "enable", "w0").out == "w0 is on.\n"
    assert fleet.webhooks["w0"]["enabled"]
    assert cli("webhooks", "rm", "w0").out == "Removed w0.\n"
    missing = cli("webhooks", "show", "w0")
    assert (missing.code, "no webhook" in missing.err) == (1, True)
    assert "no bot called" in cli("webhooks", "add", "https://example.org/x", "--bot", "nemo").err


def test_a_test_says_how_it_went(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEST_WAIT_S", 0.01)
    cli("webhooks", "add", "https://example.org/x")
    fleet.delivery = DELIVERY
    assert cli("webhooks", "test", "w0").out == "Delivered, answered with status 204.\n"
    for delivery, enabled, told in (
        (FAILED, True, "answered with status 500"),
        ({"id": "d2", "state": "pending", "last_error": None}, True, "the jobs program may be away"),
        ({"id": "d2", "state": "pending", "last_error": None}, False, "webhooks enable w0"),
    ):
        fleet.delivery, fleet.webhooks["w0"]["enabled"] = delivery, enabled
        result = cli("webhooks", "test", "w0")
        assert result.code == 1
        assert told in result.err


def test_happenings_are_narrowed_to_what_discord_did(cli: Any, fleet: Any) -> None:
    row = {"at": "2026-05-01T11:00:00Z", "bot_name": "shop", "severity": "info", "detail": {"guild": "Bakery"}}
    fleet.happenings = [
        row | {"title": "was removed from a guild", "source": "discord", "code": "guild_left"},
        row | {"title": "session hears again", "source": "flotilla", "code": "hearing"},
    ]
    assert "hears" not in cli("happenings", "--source", "discord").out
    assert "guild Bakery" in cli("happenings", "--code", "guild_left").out


def test_inspection_shows_what_a_bot_did_lately_if_that_is_known(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    assert "interactions/min" not in cli("bots", "inspect", "shop").out
    durations = {"count": 4, "p50_ms": 12.3456, "p95_ms": 250.0, "p99_ms": None}
    recent = {
        "seconds": 301.0,
        "commands_per_min": 7.25,
        "error_share": 0.025,
        "first_response": durations,
        "handling": durations,
        "loop_lag": durations,
    }
    fleet.metrics = {"recent": recent}
    shown = " ".join(cli("bots", "inspect", "shop").out.split())
    assert "Last 5 min: 7.25 interactions/min; first response p50 12.3 ms, p95 250 ms;" in shown
    assert "errors 2.5%; loop lag p99 - ms" in shown
    fleet.metrics = {"recent": recent | {"error_share": None, "commands_per_min": None}}
    assert "errors -" in " ".join(cli("bots", "inspect", "shop").out.split())
