"""How long requests wait for the limits that Discord tells of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.rate_limits import (
    FLOOR_MAX_S,
    FLOOR_S,
    KEPT,
    LONGEST_S,
    SHOWN_WITHIN_S,
    UNTOLD_S,
    RateLimits,
    after_s,
    told_s,
)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ((0.3, "1", "2"), 0.3),
        ((None, "7", "2"), 7),
        ((None, None, "0.5"), 0.5),
        (("soon", "nan", "4"), 4),
        ((-1, "-3", "inf"), UNTOLD_S),
        ((True, {}, []), UNTOLD_S),
        ((1e9,), LONGEST_S),
        ((), UNTOLD_S),
    ],
)
def test_first_number_of_seconds_is_believed_within_bounds(said: tuple[object, ...], seconds: float) -> None:
    assert told_s(*said) == seconds


@given(st.lists(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans()), max_size=3))
def test_whatever_is_said_the_wait_is_bounded(said: list[object]) -> None:
    assert 0 <= told_s(*said) <= LONGEST_S


def test_wait_is_never_shorter_than_told_and_grows_with_each_refusal() -> None:
    waits = [after_s(0, number, 0) for number in range(1, 9)]
    assert waits[:4] == [FLOOR_S, 2 * FLOOR_S, 4 * FLOOR_S, 8 * FLOOR_S]
    assert waits[-1] == FLOOR_MAX_S
    assert all(after_s(60, number, u) >= 60 for number in range(1, 9) for u in (0, 0.99))


def refused(limits: RateLimits, key: str, *, began: float, now: float, told: float = 1) -> float:
    return limits.refused(key, told, began=began, now=now, u=0)


def test_requests_that_were_under_way_together_are_one_refusal() -> None:
    limits = RateLimits()
    for _ in range(50):
        refused(limits, "route", began=10, now=10.1)
    assert limits.wait_s(["route"], 10.1) == pytest.approx(1)
    assert limits.in_a_row(["route"]) <= 1


def test_limit_of_one_route_holds_no_other() -> None:
    limits = RateLimits()
    refused(limits, "route", began=0, now=0)
    assert limits.wait_s(["other"], 0) == 0
    assert limits.wait_s(["other", "route"], 0.25) == pytest.approx(0.75)


def test_one_request_shows_whether_a_limit_is_over_and_the_others_wait_for_it() -> None:
    limits = RateLimits()
    refused(limits, "route", began=0, now=0)
    assert limits.wait_s(["route"], 1) == 0
    assert limits.ask(["route", "other"], 1) == ("route",)
    assert limits.wait_s(["route"], 1) == SHOWN_WITHIN_S
    limits.over("route")
    assert limits.wait_s(["route"], 1) == 0
    assert not limits


def test_one_that_is_not_answered_holds_the_others_for_a_while_only() -> None:
    limits = RateLimits()
    refused(limits, "route", began=0, now=0)
    limits.ask(["route"], 1)
    assert limits.wait_s(["route"], 1 + SHOWN_WITHIN_S) == 0
    limits.ask(["route"], 5)
    limits.unanswered("route")
    assert limits.wait_s(["route"], 5) == 0


def test_what_is_known_of_limits_is_bounded() -> None:
    limits = RateLimits()
    for number in range(KEPT + 100):
        limits.refused(number, 1, began=0, now=0, u=0)
    assert len(limits._limits) == KEPT
