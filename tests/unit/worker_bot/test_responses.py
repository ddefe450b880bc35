"""How long first responses take: exact enough, over five minutes, with those that never come, within bounds."""

import random
import time

import pytest

from worker_bot import responses
from worker_bot.responses import MAX_PENDING, Responses


def respond(kept: Responses, number: int, began: float, ms: float) -> None:
    kept.arrived(number, began)
    kept.answered(number, began + ms / 1000)


def test_95th_percentile_is_right_within_one_percent() -> None:
    kept, draw = Responses(), random.Random(4)
    taken = [draw.lognormvariate(5, 1) for _ in range(2000)]
    for number, ms in enumerate(taken):
        respond(kept, number, number * 0.1, ms)
    count, p95_ms = kept.summary(200.0)
    exact = sorted(taken)[int(len(taken) * 0.95) - 1]
    assert count == 2000
    assert p95_ms == pytest.approx(exact, rel=0.011)


def test_nothing_is_known_before_the_first_response_and_after_five_quiet_minutes() -> None:
    kept = Responses()
    assert kept.summary(0.0) == (0, None)
    respond(kept, 1, 0.0, 100)
    assert kept.summary(300.0)[0] == 1
    assert kept.summary(301.0) == (0, None)


def test_interaction_that_is_never_answered_counts_as_over_every_target_after_3_s() -> None:
    kept = Responses()
    kept.arrived(1, 0.0)
    assert kept.summary(2.9) == (0, None)
    count, p95_ms = kept.summary(3.1)
    assert count == 1
    assert p95_ms is not None
    assert 3000 < p95_ms < 3200
    kept.answered(1, 3.2)
    assert kept.summary(3.3)[0] == 1


def test_concurrent_interactions_are_told_apart() -> None:
    kept = Responses()
    for number in range(100):
        kept.arrived(number, number * 0.01)
    for number in reversed(range(100)):
        kept.answered(number, number * 0.01 + 0.5)
    count, p95_ms = kept.summary(2.0)
    assert count == 100
    assert p95_ms == pytest.approx(500, rel=0.011)


def test_second_response_and_one_to_an_unknown_interaction_count_nothing() -> None:
    kept = Responses()
    respond(kept, 1, 0.0, 10)
    kept.answered(1, 1.0)
    kept.answered(2, 1.0)
    assert kept.summary(1.0)[0] == 1


def test_replayed_interaction_began_when_it_was_first_here() -> None:
    kept = Responses()
    kept.arrived(1, 0.0)
    respond(kept, 1, 1.0, 500)
    assert kept.summary(2.0)[1] == pytest.approx(1500, rel=0.011)


def test_response_that_takes_no_time_is_a_millisecond() -> None:
    kept = Responses()
    respond(kept, 1, 5.0, -20)
    assert kept.summary(5.0) == (1, 1.0)


def test_flood_of_interactions_stays_within_bounds() -> None:
    kept = Responses()
    for number in range(MAX_PENDING + 500):
        kept.arrived(number, 0.0)
    assert kept.summary(0.0)[0] == 500
    assert kept.summary(4.0)[0] == MAX_PENDING + 500
    for number in range(1000):
        respond(kept, number, number * 10.0, 50)
    assert kept.summary(10_000.0)[0] == 30


def test_what_is_accepted_counts_where_it_was_installed() -> None:
    kept = Responses()
    kept.arrived(1, time.monotonic())
    responses.install(kept)
    responses.accepted(1)
    responses.install(None)
    responses.accepted(2)
    assert kept.summary(time.monotonic())[0] == 1
