from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from flotilla.cli import render

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BOT: dict[str, Any] = {
    "id": "01B",
    "name": "alpha",
    "application_id": "123456789012345678",
    "tags": ["eu", "shop"],
    "desired": "running",
    "state": "FATAL",
    "ready": False,
    "reason": "token [refused]",
    "reason_code": "token_refused",
    "remedy": "Copy a new token.",
    "pid": None,
    "generation": 3,
    "memory_bytes": 13 * 1024 * 1024,
    "latency_ms": 41.6,
    "uptime_ratio_24h": 0.99999,
    "since": "2026-05-01T11:58:00+00:00",
    "created_at": "2026-04-01T12:00:00+00:00",
}

IDLE: dict[str, Any] = {
    "ratio": None,
    "up_s": 0.0,
    "down_s": 0.0,
    "target": 0.995,
    "budget_s": None,
    "budget_left_s": None,
    "budget_left_ratio": None,
    "burn_rate_1h": None,
    "burn_rate_24h": None,
}
DAY = IDLE | {"ratio": 0.998, "down_s": 172.8, "budget_s": 432.0, "budget_left_s": 259.2, "burn_rate_24h": 0.4}
WEEK = IDLE | {"ratio": 0.97, "down_s": 18144.0, "budget_s": 3024.0, "budget_left_s": -15120.0}
UPTIME: dict[str, Any] = {"target": 0.995, "windows": {"24h": DAY, "7d": WEEK, "30d": IDLE}}


def text_of(table: Table) -> str:
    console = Console(width=200, record=True, file=None, quiet=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_bots_line_shows_state_reason_memory_latency_and_uptime() -> None:
    line = text_of(render.bots_table([BOT])).splitlines()[1]
    for part in ("alpha", "FATAL", "no", "token [refused]", "13.0 MiB", "42 ms", "99.99 %"):
        assert part in line


def test_a_bot_that_never_ran_is_shown_with_dashes() -> None:
    idle = BOT | {"reason": None, "memory_bytes": None, "latency_ms": None, "uptime_ratio_24h": None}
    assert text_of(render.bots_table([idle])).splitlines()[1].split()[3:] == ["-"] * 5


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(1.0, "100.00 %"), (0.999999, "99.99 %"), (0.995, "99.50 %"), (0.0, "0.00 %"), (None, "-")],
)
def test_uptime_below_one_is_never_shown_as_a_hundred_percent(ratio: float | None, shown: str) -> None:
    assert render.percent(ratio) == shown


def test_uptime_is_told_with_what_is_left_of_its_budget_and_how_fast_that_burns() -> None:
    assert render.uptime_facts(UPTIME) == [
        ("Uptime 24 h", "99.80 % (target 99.50 %): down 2 min 52 s, budget 7 min 12 s, 4 min 19 s left"),
        ("Uptime 7 d", "97.00 % (target 99.50 %): down 5 h 2 min, budget 50 min 24 s, overdrawn by 4 h 12 min"),
        ("Uptime 30 d", "-"),
        ("Budget burns", "0.4 in the last 24 h"),
    ]
    assert render.uptime_facts({"windows": dict.fromkeys(("24h", "7d", "30d"), IDLE)})[-1] == ("Budget burns", "-")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.96, "60.0 s"), (60, "1 min 0 s"), (3661, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_a_span_of_time_is_told_in_its_largest_units(seconds: float, shown: str) -> None:
    assert render.duration(seconds) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-05-01T11:59:30Z", "30 s ago"),
        ("2026-05-01T11:58:00Z", "2 min ago"),
        ("2026-05-01T09:00:00Z", "3 h ago"),
        ("2026-04-28T12:00:00Z", "3 d ago"),
        ("2026-05-01T12:00:05Z", "0 s ago"),
        (None, "-"),
    ],
)
def test_a_moment_is_told_in_its_largest_unit(at: str | None, shown: str) -> None:
    assert render.moment(at, NOW) == shown


def test_details_tell_the_reason_its_meaning_and_its_remedy() -> None:
    text = text_of(render.bot_details(BOT, "Discord does not accept it.", NOW, UPTIME))
    for part in ("token [refused]", "Discord does not accept it.", "Copy a new token.", "eu, shop", "2 min ago"):
        assert part in text


def test_details_of_a_bot_that_waits_for_session_starts_say_until_when() -> None:
    text = text_of(render.bot_details(BOT | {"next_try_at": "2026-05-01T15:05:00Z"}, None, NOW, UPTIME))
    assert "in 3 h 5 min (" in text


def test_details_of_a_healthy_bot_have_no_reason() -> None:
    assert "Reason" not in text_of(render.bot_details(BOT | {"reason": None}, None, NOW, UPTIME))


def test_progress_counts_what_is_done_with_and_names_the_rest() -> None:
    operation = {"total": 5, "counts": {"pending": 1, "running": 1, "succeeded": 2, "failed": 1, "skipped": 0}}
    assert render.progress(operation) == "3/5 (1 running, 2 succeeded, 1 failed)"
    assert render.progress({"total": 0, "counts": {}}) == "0/0"


def test_operations_and_items_are_a_line_each() -> None:
    operation = {"id": "01O", "kind": "restart", "state": "failed", "total": 1, "counts": {"failed": 1}, "detail": None}
    assert "0 s ago" not in text_of(render.operations_table([operation], NOW))
    assert "01O" in text_of(render.operations_table([operation], NOW))
    text = text_of(render.items_table([{"bot_name": "alpha", "state": "failed", "detail": "too slow"}]))
    assert "alpha" in text
    assert "too slow" in text


def test_the_summary_tells_states_supervisors_and_what_is_not_well() -> None:
    status = {
        "bots": {"RUNNING": 2, "FATAL": 1, "STOPPED": 0},
        "ready": 2,
        "total": 3,
        "desired_running": 3,
        "supervisors": [
            {
                "slot": 0,
                "pid": 7,
                "seen_at": "2026-05-01T11:59:58Z",
                "vitals": {"invalid_requests_10m": 8100, "invalid_requests_limit": 10000, "brake": "vital"},
            }
        ],
        "version": "1.2.3",
    }
    readiness = {"database": {"ok": True, "detail": "answers"}, "valkey": {"ok": False, "detail": "does not answer"}}
    assert render.fleet_summary(status, readiness, NOW) == [
        "Bots: 3 (1 FATAL, 2 RUNNING)",
        "Ready: 2 of 3 that should run",
        "Supervisor of slot 0: process 7, seen 2 s ago",
        (
            "Requests that Discord refused to the host of slot 0 in the last 10 minutes: 8100 of 10000 "
            "(nothing passes but answers to interactions)"
        ),
        "✔ database: answers",
        "✖ valkey: does not answer",
        "Version: 1.2.3",
    ]


def test_the_summary_of_an_empty_fleet_says_so() -> None:
    status = {"bots": {}, "ready": 0, "total": 0, "desired_running": 0, "supervisors": [], "version": "1"}
    lines = render.fleet_summary(status, {}, NOW)
    assert lines[0] == "Bots: 0 (none)"
    assert lines[2] == "Supervisor: none has reported yet"


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    render.console().print("x" * 150)
    assert capsys.readouterr().out == "x" * 150 + "\n"
