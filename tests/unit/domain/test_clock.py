"""The clock by which things are forgotten, and what a jump does to session starts."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.clock import CATCHES_UP, confirmed
from flotilla.domain.sessions import WINDOW, Limit, jumped, limit_moved, moved

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = timedelta(days=40)
HOUR = timedelta(hours=1)


@given(st.lists(st.tuples(st.floats(-1e8, 1e8), st.floats(0, 1e5)), max_size=20))
def test_no_jump_of_the_clock_confirms_more_than_has_passed(steps: list[tuple[float, float]]) -> None:
    at, passed_s = NOW, 0.0
    for wall_s, elapsed_s in steps:
        passed_s += elapsed_s
        at = confirmed(at, NOW + timedelta(seconds=wall_s), elapsed_s)
        assert at <= NOW + timedelta(seconds=wall_s)
        assert (at - NOW).total_seconds() <= passed_s * CATCHES_UP + 1


def test_a_clock_back_by_an_hour_and_back_again_is_caught_up_with() -> None:
    at = confirmed(NOW, NOW - HOUR, 60)
    assert at == NOW - HOUR
    assert confirmed(at, NOW + HOUR, 5) == at + timedelta(seconds=5 * CATCHES_UP)
    assert confirmed(at, NOW + HOUR, 3600) == NOW + HOUR


def test_after_a_jump_ahead_or_back_starts_are_as_old_as_before() -> None:
    for gap in (DAYS, -DAYS, -HOUR):
        for age in (timedelta(), HOUR, timedelta(hours=23)):
            assert moved(NOW - age, NOW, NOW + gap) == NOW + gap - age
    assert moved(NOW - 2 * WINDOW, NOW, NOW + DAYS) == NOW - 2 * WINDOW


def test_a_supervisor_that_was_away_for_hours_changes_nothing() -> None:
    assert jumped(NOW, NOW + timedelta(hours=20)) == timedelta()
    assert moved(NOW - HOUR, NOW, NOW + timedelta(hours=20)) == NOW - HOUR


def test_nothing_is_dated_in_the_future_and_no_budget_comes_back_in_41_days() -> None:
    assert moved(NOW + DAYS, NOW, NOW) == NOW
    limit = Limit("wss://x", 1, 1000, 900, 1, NOW + DAYS + HOUR, NOW + DAYS)
    for seen_at in (NOW, NOW + DAYS):
        healed = limit_moved(limit, seen_at, NOW)
        assert (healed.seen_at, healed.resets_at) == (NOW, NOW + HOUR)
