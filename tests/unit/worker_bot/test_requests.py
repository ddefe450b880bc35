"""What a worker lets its bot ask of Discord, and what it counts."""

import asyncio
import random
from collections.abc import Callable

import pytest

from flotilla.domain.requests import Brake, bin_of
from flotilla.protocol import InvalidRequests, RequestLimits
from tests.stack import until
from worker_bot.requests import (
    ANSWER_WITHIN_S,
    DEAD_TOKEN_AFTER,
    ORDERS_LAPSE_S,
    REPORT_EVERY_S,
    SLOW_WAIT_MAX_S,
    Call,
    HeldBackError,
    RequestGuard,
)

SEND = Call("POST", "/channels/{channel}/messages")
CALLBACK = Call("POST", "/interactions/{interaction}/{token}/callback", as_bot=False)
FOLLOW_UP = Call("POST", "/webhooks/{webhook}/{token}", "42", as_bot=False)
OTHER_WEBHOOK = Call("POST", "/webhooks/{webhook}/{token}", "43", as_bot=False)
SYNC = Call("PUT", "/applications/{application}/commands")
GATEWAY = Call("GET", "/gateway/bot")


class Clock:
    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def guard(clock: Clock) -> RequestGuard:
    guard = RequestGuard(clock)
    guard.own("42")
    guard.starting = False
    return guard


def passes(guard: RequestGuard, *calls: Call) -> list[bool]:
    return [_passes(guard, call) for call in calls]


def _passes(guard: RequestGuard, call: Call) -> bool:
    try:
        guard.require(call)
    except HeldBackError:
        return False
    return True


# Counting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "scope", "counts"),
    [(401, None, 1), (403, None, 1), (429, "user", 1), (429, "global", 1), (429, None, 1), (429, "shared", 0)]
    + [(status, None, 0) for status in (200, 204, 400, 404, 500, 502)],
)
async def test_what_discord_counts_is_counted(guard: RequestGuard, status: int, scope: str | None, counts: int) -> None:
    for call in (SEND, CALLBACK, OTHER_WEBHOOK):
        guard.answered(call, status, scope, 0)
    told = guard.news()
    assert sum(count for _, count in told.bins) == 3 * counts if counts and told else told is None


async def test_news_are_cumulative_counts_of_the_bins_that_changed_and_all_of_them_after_a_welcome(
    guard: RequestGuard, clock: Clock
) -> None:
    first = bin_of(clock.now)
    for _ in range(3):
        guard.answered(SEND, 403, None, 50001)
    assert guard.news() == InvalidRequests(((first, 3),), "403 POST /channels/{channel}/messages")
    assert guard.news() is None
    clock.now += 10
    guard.answered(CALLBACK, 401, None, 50027)
    told = guard.news()
    assert told is not None
    assert told.bins == ((first + 1, 1),)
    guard.tell_all()
    told = guard.news()
    assert told is not None
    assert told.bins == ((first, 3), (first + 1, 1))
    clock.now += 1000
    guard.tell_all()
    assert guard.news() is None


async def test_first_one_is_told_at_once_the_next_together_and_many_without_delay() -> None:
    guard, told = RequestGuard(), list[InvalidRequests]()
    guard.obey(RequestLimits(report_at=10))
    task = asyncio.create_task(guard.report(told.append))
    try:
        guard.answered(SEND, 403, None, None)
        await until(lambda: len(told) == 1, "the first is told", REPORT_EVERY_S)
        for _ in range(9):
            guard.answered(SEND, 403, None, None)
        await asyncio.sleep(0)
        assert len(told) == 1
        guard.answered(SEND, 403, None, None)
        await until(lambda: len(told) == 2, "many are told", REPORT_EVERY_S / 2)
        guard.answered(SEND, 403, None, None)
        await until(lambda: len(told) == 3, "few are told in time", 10)
    finally:
        task.cancel()
    assert sum(dict(pair for message in told for pair in message.bins).values()) == 12


# Holding back --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "starting", "expected"),
    [
        (RequestLimits(), False, [True, True, True, True, True, True]),
        (RequestLimits(Brake.SLOW), False, [True, True, True, True, True, True]),
        (RequestLimits(Brake.VITAL), False, [True, True, True, False, False, False]),
        (RequestLimits(Brake.VITAL), True, [True, True, True, False, False, False]),
        (RequestLimits(quarantined=True), False, [True, True, True, False, False, False]),
        (RequestLimits(quarantined=True), True, [True, True, True, False, False, True]),
    ],
)
async def test_vital_requests_pass_always_and_others_as_the_supervisor_says(
    guard: RequestGuard, limits: RequestLimits, starting: bool, expected: list[bool]
) -> None:
    guard.obey(limits)
    guard.starting = starting
    assert passes(guard, CALLBACK, FOLLOW_UP, GATEWAY, SEND, OTHER_WEBHOOK, SYNC) == expected


async def test_refusal_says_why_and_what_to_do(guard: RequestGuard) -> None:
    guard.answered(SEND, 403, None, 50001)
    guard.obey(RequestLimits(quarantined=True))
    with pytest.raises(HeldBackError, match=r"quarantined.*403 POST /channels.*flotilla status") as caught:
        guard.require(SEND)
    assert caught.value.retry_after_s > 0


async def test_order_of_a_supervisor_that_is_never_heard_of_again_lapses(guard: RequestGuard, clock: Clock) -> None:
    for limits in (RequestLimits(Brake.VITAL), RequestLimits(quarantined=True)):
        guard.obey(limits)
        clock.now += ORDERS_LAPSE_S
        assert passes(guard, SEND) == [False]
        clock.now += 1
        assert passes(guard, SEND) == [True]


async def test_worker_whose_reports_nobody_answers_stops_at_its_own_bound(guard: RequestGuard, clock: Clock) -> None:
    guard.obey(RequestLimits(alone=20))
    for _ in range(20):
        guard.answered(SEND, 403, None, None)
    assert guard.news() is not None
    assert passes(guard, SEND) == [True]
    clock.now += ANSWER_WITHIN_S
    assert passes(guard, SEND, CALLBACK) == [False, True]
    guard.obey(RequestLimits(alone=20))
    assert passes(guard, SEND) == [True]
    guard.answered(SEND, 403, None, None)
    assert guard.news() is not None
    clock.now += ANSWER_WITHIN_S
    assert passes(guard, SEND) == [False]
    clock.now += 700
    assert passes(guard, SEND) == [True]


async def test_slow_lets_requests_through_at_the_pace_that_is_set(guard: RequestGuard) -> None:
    guard = RequestGuard()
    guard.obey(RequestLimits(Brake.SLOW, slow_per_s=50))
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def ask(call: Call) -> None:
        async with guard.passing(call):
            pass

    await asyncio.gather(*(ask(SEND) for _ in range(11)))
    assert loop.time() - began >= 10 * 0.5 / 50
    began = loop.time()
    await asyncio.gather(*(ask(CALLBACK) for _ in range(50)))
    assert loop.time() - began < 10 * 0.5 / 50 + 1


async def test_line_of_waiting_requests_has_an_end(guard: RequestGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    guard.obey(RequestLimits(Brake.SLOW, slow_per_s=1))
    monkeypatch.setattr(random, "uniform", lambda *_: 1.0)

    async def ask() -> None:
        async with guard.passing(SEND):
            pass

    waiting = [asyncio.create_task(ask()) for _ in range(50)]
    await until(lambda: sum(task.done() for task in waiting) >= 19, "the rest is refused", 10)
    refused = [task for task in waiting if task.done() and isinstance(task.exception(), HeldBackError)]
    assert len(refused) == 50 - SLOW_WAIT_MAX_S - 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_one_that_waited_its_turn_is_held_back_if_the_brake_came_meanwhile(guard: RequestGuard) -> None:
    guard.obey(RequestLimits(Brake.SLOW, slow_per_s=20))

    async def ask() -> None:
        async with guard.passing(SEND):
            pass

    await ask()
    waiting = asyncio.create_task(ask())
    await asyncio.sleep(0)
    guard.obey(RequestLimits(Brake.VITAL))
    with pytest.raises(HeldBackError):
        await waiting


# Dead tokens ---------------------------------------------------------------------------------------------------------


def answers(guard: RequestGuard, *given: tuple[int, int | None]) -> bool:
    for status, code in given:
        guard.answered(SEND, status, None, code)
    return guard.token_refused.is_set()


async def test_token_that_is_refused_five_times_in_a_row_is_dead(guard: RequestGuard) -> None:
    assert not answers(guard, *[(401, 0)] * (DEAD_TOKEN_AFTER - 1))
    assert answers(guard, (500, None), (429, None), (401, 40001))
    assert passes(guard, SEND, GATEWAY, CALLBACK) == [False, False, True]


@pytest.mark.parametrize("between", [(200, None), (204, None), (403, 50001), (404, 10003)])
async def test_token_that_is_taken_in_between_lives(guard: RequestGuard, between: tuple[int, int | None]) -> None:
    assert not answers(guard, *[(401, 0), (401, 0), (401, 0), (401, 0), between] * 5)


async def test_dead_webhook_says_nothing_of_the_token(guard: RequestGuard) -> None:
    assert not answers(guard, *[(401, 50027)] * 50, *[(401, None)] * 50)
    for _ in range(50):
        guard.answered(OTHER_WEBHOOK, 401, None, 0)
    assert not guard.token_refused.is_set()


async def test_while_the_token_is_in_doubt_its_requests_go_one_by_one(guard: RequestGuard) -> None:
    guard.answered(SEND, 401, None, 0)
    under_way = most = 0

    async def ask(code: Callable[[], int]) -> None:
        nonlocal under_way, most
        async with guard.passing(SEND):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            guard.answered(SEND, code(), None, 0)
            under_way -= 1

    results = await asyncio.gather(*(ask(lambda: 401) for _ in range(30)), return_exceptions=True)
    assert most == 1
    assert sum(result is None for result in results) == DEAD_TOKEN_AFTER - 1
