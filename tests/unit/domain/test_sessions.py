"""The ledger of session starts: what is granted, when, and the bounds that nothing may break."""

from bisect import bisect_left
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flotilla.domain.sessions import (
    FLOOR,
    FRESH,
    GRANTED,
    PACE,
    TOTAL,
    WINDOW,
    Answer,
    Cause,
    Ledger,
    Limit,
    Start,
    cause_of,
    decide,
    is_fresh,
    merged,
    standing,
)
from flotilla.domain.worker import State, Worker
from tests.builders import T0

RESERVE = 50
DAY = timedelta(hours=24)
AUTOMATIC = (Cause.FIRST, Cause.CRASH, Cause.PLANNED, Cause.RENEWED)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def spent(count: int, *, first_s: float = 0.0, every_s: float = 1.0) -> Ledger:
    return Ledger(tuple(Start(at(first_s + number * every_s), Cause.CRASH, 0) for number in range(count)))


def told(remaining: int, seen_s: float = 0.0, **changes: int) -> Limit:
    values = {"shards": 1, "total": TOTAL, "max_concurrency": 1} | changes
    return Limit("wss://gateway", remaining=remaining, resets_at=at(seen_s) + DAY, seen_at=at(seen_s), **values)


# Bounds --------------------------------------------------------------------------------------------------------------

WANTS = st.lists(
    st.tuples(
        st.integers(1, 4000),  # how often somebody wants a start in this stretch
        st.floats(0.1, 600),  # seconds between two of them
        st.sampled_from(list(Cause)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(wants=WANTS, reserve=st.integers(1, 999), total=st.sampled_from([100, 1000, 2000]), shards=st.integers(1, 30))
@example(wants=[(4000, 43.0, Cause.CRASH)], reserve=50, total=1000, shards=1)
@example(wants=[(4000, 43.0, Cause.ASKED)], reserve=50, total=1000, shards=1)
def test_no_day_ever_has_more_starts_than_are_allowed(
    wants: list[tuple[int, float, Cause]], reserve: int, total: int, shards: int
) -> None:
    ledger = Ledger(limit=told(total, total=total, shards=shards))
    granted: list[tuple[float, Cause]] = []
    now_s = 0.0
    for count, every_s, cause in wants:
        for _ in range(count):
            if now_s > 48 * 3600:
                break
            if decide(ledger, at(now_s), cause, reserve=reserve) == GRANTED:
                ledger = ledger.since(at(now_s)).with_start(Start(at(now_s), cause, 0))
                granted.append((now_s, cause))
            now_s += every_s
    moments = [moment for moment, _ in granted]
    for index, (moment, cause) in enumerate(granted):
        within = index + 1 - bisect_left(moments, moment - 86_400)
        kept = min(FLOOR if cause is Cause.ASKED else max(FLOOR, reserve), total // 2)
        assert within <= total - kept


def test_a_loop_that_never_ends_keeps_below_the_mean_that_discord_allows() -> None:
    ledger, granted, now_s = Ledger(), [], 0.0
    while now_s < 48 * 3600:
        wait_s = decide(ledger, at(now_s), Cause.CRASH).wait_s
        if wait_s == 0:
            granted.append(now_s)
            ledger = ledger.since(at(now_s)).with_start(Start(at(now_s), Cause.CRASH, 0))
        now_s += max(wait_s, 0.01)
    assert sum(moment < 60 for moment in granted) == PACE[0][1]
    assert sum(moment < 3600 for moment in granted) <= PACE[-1][1]
    assert 86_400 * 2 / len(granted) >= 86.4
    assert len(granted) > 1500  # and it is not starved either


def test_bot_of_many_shards_may_start_all_of_them_at_once() -> None:
    ledger = Ledger(limit=told(TOTAL, shards=30, max_concurrency=30))
    for shard_id in range(30):
        assert decide(ledger, at(0), Cause.FIRST, shard_id=shard_id) == GRANTED
        ledger = ledger.with_start(Start(at(0), Cause.FIRST, shard_id))
    assert decide(ledger, at(6), Cause.CRASH, shard_id=0) == GRANTED


@pytest.mark.parametrize("shards", [1, 4, 16, 600, 999, 5000])
def test_bot_of_any_number_of_shards_can_start_on_an_unspent_day(shards: int) -> None:
    ledger = Ledger(limit=told(TOTAL, shards=shards, max_concurrency=shards))
    assert decide(ledger, at(0), Cause.FIRST, count=shards, reserve=999) == GRANTED
    assert decide(Ledger(), at(0), Cause.FIRST, count=shards, reserve=999) == GRANTED


def test_starts_that_follow_one_another_are_granted_together_or_not_at_all() -> None:
    ledger = spent(TOTAL - RESERVE - 3)
    assert decide(ledger, at(50_000), Cause.CRASH, reserve=RESERVE, count=3) == GRANTED
    assert decide(ledger, at(50_000), Cause.CRASH, reserve=RESERVE, count=4).code == "session_budget"
    known = Ledger(limit=told(RESERVE + 3))
    assert decide(known, at(60), Cause.CRASH, reserve=RESERVE, count=3) == GRANTED
    assert decide(known, at(60), Cause.CRASH, reserve=RESERVE, count=4).code == "session_budget"


# One decision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", AUTOMATIC)
def test_automatic_starts_leave_the_reserve_and_say_when_they_go_on(cause: Cause) -> None:
    ledger = spent(TOTAL - RESERVE)
    now = at(20 * 3600)
    answer = decide(ledger, now, cause, reserve=RESERVE)
    assert answer.code == "session_budget"
    assert answer.wait_s == pytest.approx((WINDOW - timedelta(hours=20)).total_seconds())
    assert decide(ledger, now + timedelta(seconds=answer.wait_s), cause, reserve=RESERVE) == GRANTED
    assert decide(ledger, now, Cause.ASKED, reserve=RESERVE) == GRANTED


def test_a_person_may_spend_all_but_the_floor() -> None:
    assert decide(spent(TOTAL - FLOOR - 1), at(5000), Cause.ASKED) == GRANTED
    answer = decide(spent(TOTAL - FLOOR), at(5000), Cause.ASKED)
    assert (answer.code, answer.wait_s > 0) == ("session_limit", True)


def test_a_person_is_not_held_to_the_pace() -> None:
    ledger = spent(30, every_s=6)
    assert decide(ledger, at(200), Cause.CRASH).code == "session_budget"
    assert decide(ledger, at(200), Cause.ASKED) == GRANTED


@pytest.mark.parametrize(
    ("shard_id", "keys", "wait_s"),
    [(0, 1, 4.25), (1, 1, 4.25), (1, 2, 0), (2, 2, 4.25), (16, 16, 4.25)],
)
def test_shards_of_one_key_identify_five_seconds_apart(shard_id: int, keys: int, wait_s: float) -> None:
    ledger = Ledger((Start(at(0), Cause.FIRST, 0),), told(TOTAL, max_concurrency=keys))
    answer = decide(ledger, at(1), Cause.FIRST, shard_id=shard_id)
    assert answer.wait_s == pytest.approx(wait_s)
    assert answer.code is None


def test_start_of_a_shard_that_is_not_known_blocks_every_key() -> None:
    ledger = Ledger((Start(at(0), Cause.FIRST),), told(TOTAL, max_concurrency=16))
    assert decide(ledger, at(1), Cause.FIRST, shard_id=7).wait_s > 0


def test_longest_wait_is_told_with_its_reason() -> None:
    ledger = spent(TOTAL - RESERVE).with_start(Start(at(40_000), Cause.ASKED, 0))
    assert decide(ledger, at(40_001), Cause.CRASH).code == "session_budget"
    assert decide(ledger, at(40_001), Cause.ASKED) == Answer(4.25, None)


# What Discord says ---------------------------------------------------------------------------------------------------


def test_discords_count_holds_where_it_is_worse_than_ours() -> None:
    ledger = Ledger(limit=told(RESERVE))
    answer = decide(ledger, at(3600), Cause.CRASH, reserve=RESERVE)
    assert (answer.code, answer.wait_s) == ("session_budget", 23 * 3600)
    assert decide(ledger, at(3600), Cause.ASKED, reserve=RESERVE) == GRANTED
    assert decide(Ledger(limit=told(FLOOR)), at(3600), Cause.ASKED).code == "session_limit"
    assert decide(ledger, ledger.limit.resets_at, Cause.CRASH) == GRANTED if ledger.limit else False


def test_our_count_holds_where_discord_says_a_nicer_one() -> None:
    ledger = spent(TOTAL - RESERVE).with_limit(told(TOTAL, seen_s=3000))
    assert decide(ledger, at(4000), Cause.CRASH, reserve=RESERVE).code == "session_budget"


def test_starts_since_discord_was_asked_count_on_top_of_what_it_said() -> None:
    ledger = spent(10, first_s=100, every_s=100).with_limit(told(RESERVE + 11, seen_s=50))
    assert standing(ledger, at(2000), reserve=RESERVE).left == RESERVE + 1
    assert decide(ledger, at(2000), Cause.CRASH, reserve=RESERVE) == GRANTED
    assert decide(ledger.with_start(Start(at(2000), Cause.CRASH, 0)), at(3000), Cause.CRASH).wait_s > 3600


def test_start_that_discord_may_not_have_counted_yet_is_counted_by_us() -> None:
    ledger = Ledger((Start(at(0), Cause.FIRST, 0),)).with_limit(told(500, seen_s=2))
    assert standing(ledger, at(3), reserve=RESERVE).left == 499


@pytest.mark.parametrize("total", [1, 2, 10])
def test_tiny_limit_leaves_half_of_it_to_automatic_starts(total: int) -> None:
    ledger = Ledger(limit=told(total, total=total))
    assert decide(ledger, at(0), Cause.CRASH, reserve=999) == GRANTED


def test_answer_of_discord_is_fresh_for_ten_minutes_and_not_from_the_future() -> None:
    assert is_fresh(told(1), at(0))
    assert not is_fresh(told(1), at(0) + FRESH)
    assert not is_fresh(told(1, seen_s=1), at(0))


# The clock -----------------------------------------------------------------------------------------------------------


def test_clock_that_went_back_keeps_every_start_and_blocks_nobody() -> None:
    ledger = spent(TOTAL - RESERVE - 1, first_s=36_000)
    assert decide(ledger, at(0), Cause.CRASH, reserve=RESERVE) == GRANTED
    ledger = ledger.with_start(Start(at(0), Cause.CRASH, 0))
    assert ledger.starts[0].at == at(0)
    assert decide(ledger, at(10), Cause.CRASH, reserve=RESERVE).code == "session_budget"
    assert decide(ledger, at(10), Cause.ASKED, reserve=RESERVE) == GRANTED


def test_starts_older_than_a_day_are_left_out() -> None:
    ledger = spent(10, every_s=3600)
    assert len(ledger.since(at(0) + WINDOW).starts) == 9
    assert ledger.since(at(0)) is ledger


# Shown and stored ----------------------------------------------------------------------------------------------------


def test_standing_says_what_is_spent_and_when_it_comes_back() -> None:
    empty = standing(Ledger(), at(0), reserve=RESERVE)
    assert (empty.spent, empty.left, empty.total, empty.automatic_in_s, empty.back_at) == (0, 1000, 1000, 0, None)
    some = standing(spent(12, every_s=600), at(7200), reserve=RESERVE)
    assert (some.spent, some.left, some.back_at) == (12, 988, at(0) + WINDOW)
    known = standing(spent(12, every_s=600).with_limit(told(900, seen_s=7200)), at(7300), reserve=RESERVE)
    assert (known.spent, known.left, known.back_at) == (12, 900, at(7200) + DAY)
    assert standing(spent(30), at(40), reserve=RESERVE).automatic_in_s > 0


def test_ledgers_are_made_of_rows_in_any_order() -> None:
    rows = [("2", Start(at(5), "crash")), ("1", Start(at(9), "crash")), ("2", Start(at(1), "asked"))]
    ledgers = merged(rows, [("2", told(7)), ("3", told(8))])
    assert [start.at for start in ledgers["2"].starts] == [at(1), at(5)]
    assert ledgers["2"].limit == told(7)
    assert (ledgers["1"].limit, ledgers["3"].starts) == (None, ())


@pytest.mark.parametrize(
    ("worker", "asked", "cause"),
    [
        (Worker(), False, Cause.FIRST),
        (Worker(), True, Cause.ASKED),
        (Worker(State.RUNNING, 1), False, Cause.CRASH),
        (Worker(State.BACKOFF, 1, reason="session_budget"), False, Cause.CRASH),
        (Worker(State.STOPPING, 1, reason="memory_limit", restart=True), False, Cause.CRASH),
        (Worker(State.STOPPING, 1, reason="memory_soft_limit", restart=True), False, Cause.PLANNED),
        (Worker(State.STOPPING, 1, reason="restart_requested", restart=True), True, Cause.ASKED),
    ],
)
def test_cause_of_a_start_follows_from_what_was_before(worker: Worker, asked: bool, cause: Cause) -> None:
    assert cause_of(worker, asked=asked) is cause
