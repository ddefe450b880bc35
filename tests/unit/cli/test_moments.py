"""Moments as people write them, in zones where clocks are set."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import typer

from flotilla.cli.moments import moment

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def live_in(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield live_in
    monkeypatch.undo()
    time.tzset()


def meant(text: str, *, latest: bool = False) -> str:
    return datetime.fromtimestamp(moment(text, NOW, "--since", latest=latest), UTC).isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", "2026-05-01T11:59:30+00:00"),
        ("1h30m", "2026-05-01T10:30:00+00:00"),
        ("2d", "2026-04-29T12:00:00+00:00"),
        ("11:30", "2026-05-01T06:00:00+00:00"),  # it is 17:30 in Kolkata
        ("23:00", "2026-04-30T17:30:00+00:00"),  # has not come yet today
        ("2026-05-01", "2026-04-30T18:30:00+00:00"),
        ("2026-05-01 11:30:15", "2026-05-01T06:00:15+00:00"),
        ("2026-05-01T11:30Z", "2026-05-01T11:30:00+00:00"),
        ("2026-05-01 11:30:00,250-04:00", "2026-05-01T15:30:00.250000+00:00"),  # as a line of a log has it
        ("1960-01-01T00:00+00:00", "1960-01-01T00:00:00+00:00"),
    ],
)
def test_a_moment_is_what_somebody_there_means(zone: Callable[[str], None], text: str, expected: str) -> None:
    zone("Asia/Kolkata")
    assert meant(text) == expected


def test_a_local_time_that_comes_twice_or_never_hides_nothing(zone: Callable[[str], None]) -> None:
    zone("America/New_York")
    assert meant("2026-11-01 01:30") == "2026-11-01T05:30:00+00:00"
    assert meant("2026-11-01 01:30", latest=True) == "2026-11-01T06:30:00+00:00"
    assert meant("2026-03-08 02:30") == "2026-03-08T06:30:00+00:00"
    assert meant("2026-03-08 02:30", latest=True) == "2026-03-08T07:30:00+00:00"


@pytest.mark.parametrize("text", ["", "10", "10 minutes", "yesterday", "25:00", "2026-13-01", "9" * 30 + "d", "1h 2m"])
def test_what_is_no_moment_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time"):
        meant(text)


def test_the_ends_of_the_calendar_are_no_fault_of_ours(zone: Callable[[str], None]) -> None:
    zone("Pacific/Chatham")
    assert moment("9999-12-31T23:59:59-12:00", NOW, "--until") > NOW.timestamp()
    with pytest.raises(typer.BadParameter, match="is not a time"):
        moment("0001-01-01", NOW, "--since")
