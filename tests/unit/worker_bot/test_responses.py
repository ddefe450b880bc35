"""How long first responses take: exact enough, over five minutes, with those that never come, within bounds."""

import random
from pathlib import Path

import pytest
from hikari.impl import rest

from worker_bot.responses import MAX_PENDING, METHODS, Responses


def respond(responses: Responses, number: int, began: float, ms: float) -> None:
    responses.arrived(number, began)
    responses.answered(number, began + ms / 1000)


def test_95th_percentile_is_right_within_one_percent() -> None:
    responses, draw = Responses(), random.Random(4)
    taken = [draw.lognormvariate(5, 1) for _ in range(2000)]
    for number, ms in enumerate(taken):
        respond(responses, number, number * 0.1, ms)
    count, p95_ms = responses.summary(200.0)
    exact = sorted(taken)[int(len(taken) * 0.95) - 1]
    assert count == 2000
    assert p95_ms == pytest.approx(exact, rel=0.011)


def test_nothing_is_known_before_the_first_response_and_after_five_quiet_minutes() -> None:
    responses = Responses()
    assert responses.summary(0.0) == (0, None)
    respond(responses, 1, 0.0, 100)
    assert responses.summary(300.0)[0] == 1
    assert responses.summary(301.0) == (0, None)


def test_interaction_that_is_never_answered_counts_as_over_every_target_after_3_s() -> None:
    responses = Responses()
    responses.arrived(1, 0.0)
    assert responses.summary(2.9) == (0, None)
    count, p95_ms = responses.summary(3.1)
    assert count == 1
    assert p95_ms is not None
    assert 3000 < p95_ms < 3200
    responses.answered(1, 3.2)
    assert responses.summary(3.3)[0] == 1


def test_concurrent_interactions_are_told_apart() -> None:
    responses = Responses()
    for number in range(100):
        responses.arrived(number, number * 0.01)
    for number in reversed(range(100)):
        responses.answered(number, number * 0.01 + 0.5)
    count, p95_ms = responses.summary(2.0)
    assert count == 100
    assert p95_ms == pytest.approx(500, rel=0.011)


def test_second_response_and_one_to_an_unknown_interaction_count_nothing() -> None:
    responses = Responses()
    respond(responses, 1, 0.0, 10)
    responses.answered(1, 1.0)
    responses.answered(2, 1.0)
    assert responses.summary(1.0)[0] == 1


def test_replayed_interaction_began_when_it_was_first_here() -> None:
    responses = Responses()
    responses.arrived(1, 0.0)
    respond(responses, 1, 1.0, 500)
    assert responses.summary(2.0)[1] == pytest.approx(1500, rel=0.011)


def test_response_that_takes_no_time_is_a_millisecond() -> None:
    responses = Responses()
    respond(responses, 1, 5.0, -20)
    assert responses.summary(5.0) == (1, 1.0)


def test_flood_of_interactions_stays_within_bounds() -> None:
    responses = Responses()
    for number in range(MAX_PENDING + 500):
        responses.arrived(number, 0.0)
    assert responses.summary(0.0)[0] == 500
    assert responses.summary(4.0)[0] == MAX_PENDING + 500
    for number in range(1000):
        respond(responses, number, number * 10.0, 50)
    assert responses.summary(10_000.0)[0] == 30


def test_every_way_in_which_hikari_sends_an_initial_response_is_timed() -> None:
    """hikari is pinned; a new release that has another way must not pass."""
    source = Path(rest.__file__).read_text()
    assert source.count("POST_INTERACTION_RESPONSE.compile") == len(METHODS)
    assert all(hasattr(getattr(rest.RESTClientImpl, name), "__wrapped__") for name in METHODS)
