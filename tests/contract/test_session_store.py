"""One suite for every store of session starts: the fake in memory, SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest

from flotilla.db.engine import Database
from flotilla.db.sessions import SqlSessions
from flotilla.domain.sessions import WINDOW, Limit, Start
from flotilla.errors import RetryError
from flotilla.ports import SessionStore
from tests.builders import T0
from tests.fakes.sessions import MemorySessionStore

BACKENDS = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
LIMIT = Limit("wss://gateway", 2, 1000, 990, 1, T0 + timedelta(hours=20), T0)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest) -> SessionStore:
    if request.param == "memory":
        return MemorySessionStore()
    return SqlSessions(request.getfixturevalue(f"{request.param}_database"))


def start(hours: float, cause: str = "crash", shard_id: int | None = None) -> Start:
    return Start(T0 + timedelta(hours=hours), cause, shard_id)


async def test_nothing_is_known_before_anything_is_recorded(store: SessionStore) -> None:
    await store.record([], [])
    assert await store.ledgers(T0) == {}


async def test_starts_come_back_by_application_and_in_order(store: SessionStore) -> None:
    await store.record([("1", start(2, "asked")), ("2", start(1))], [])
    await store.record([("1", start(1, shard_id=3))], [])
    ledgers = await store.ledgers(T0 + timedelta(hours=3))
    assert ledgers["1"].starts == (start(1), start(2, "asked"))
    assert ledgers["2"].starts == (start(1),)


async def test_a_start_that_is_told_again_is_counted_once(store: SessionStore) -> None:
    """Nobody heard whether it was stored: the connection was cut at that moment."""
    for _ in range(2):
        await store.record([("1", start(1)), ("2", start(1)), ("1", start(2))], [])
    ledgers = await store.ledgers(T0 + timedelta(hours=3))
    assert (len(ledgers["1"].starts), len(ledgers["2"].starts)) == (2, 1)


async def test_starts_that_no_longer_count_are_left_out(store: SessionStore) -> None:
    await store.record([("1", start(0)), ("1", start(1))], [])
    ledgers = await store.ledgers(T0 + WINDOW)
    assert [found.at for found in ledgers["1"].starts] == [start(1).at]


async def test_limit_is_kept_for_its_own_application_and_replaced_by_the_next(store: SessionStore) -> None:
    other = Limit("wss://other", 1, 2000, 5, 16, T0, T0)
    newer = Limit("wss://gateway", 3, 1000, 980, 1, LIMIT.resets_at, T0 + timedelta(hours=1))
    await store.record([], [("1", other), ("1", LIMIT), ("2", other)])
    assert (await store.ledgers(T0))["1"].limit == LIMIT
    await store.record([("1", start(0))], [("1", newer)])
    ledgers = await store.ledgers(T0)
    assert (ledgers["1"].limit, ledgers["2"].limit) == (newer, other)


async def test_old_starts_and_limits_are_forgotten_a_batch_at_a_time(store: SessionStore) -> None:
    await store.record([("1", start(number / 10)) for number in range(5)], [("1", LIMIT)])
    now = T0 + WINDOW + timedelta(hours=0.2)
    assert await store.forget(now, 2) == 2
    assert await store.forget(now, 2) == 1
    assert await store.forget(now, 2) == 0
    ledgers = await store.ledgers(T0)
    assert (len(ledgers["1"].starts), ledgers["1"].limit) == (2, None)


async def test_limit_that_still_holds_is_not_forgotten(store: SessionStore) -> None:
    lasting = Limit("wss://gateway", 2, 1000, 990, 1, T0 + timedelta(days=3), T0)
    await store.record([], [("1", lasting)])
    await store.forget(T0 + timedelta(days=2), 10)
    assert (await store.ledgers(T0))["1"].limit == lasting


async def test_preview_reads_only_the_applications_it_asks_for(database: Database) -> None:
    store = SqlSessions(database)
    await store.record([("1", start(1)), ("2", start(1))], [("1", LIMIT), ("2", LIMIT)])
    assert set(await store.ledgers(T0 + timedelta(hours=2), ["2", "3"])) == {"2"}


async def test_store_that_is_away_says_so(sqlite_gone: Database) -> None:
    fake = MemorySessionStore()
    fake.away = True
    for store in (fake, SqlSessions(sqlite_gone)):
        with pytest.raises(RetryError):
            await store.ledgers(T0)
        with pytest.raises(RetryError):
            await store.record([("1", start(0))], [])
        with pytest.raises(RetryError):
            await store.forget(T0, 1)


async def test_a_clock_that_jumped_moves_starts_and_what_discord_said_and_forgets_none(store: SessionStore) -> None:
    days, seen_at = timedelta(days=40), T0 + timedelta(hours=4)
    await store.record([("1", start(1)), ("1", start(3))], [("1", LIMIT)])
    assert await store.redate(seen_at, seen_at + days) == 2
    assert (await store.ledgers(seen_at + days))["1"].starts == (start(1 + 960), start(3 + 960))
    assert await store.redate(seen_at + days, seen_at) == 2
    ledger = (await store.ledgers(seen_at))["1"]
    assert ledger.starts == (start(1), start(3))
    assert ledger.limit is not None
    assert ledger.limit.resets_at <= seen_at + timedelta(hours=24)


async def test_what_was_dated_ahead_was_just_now(store: SessionStore) -> None:
    far = replace(LIMIT, seen_at=T0 + timedelta(days=40), resets_at=T0 + timedelta(days=41))
    await store.record([("1", start(960))], [("1", far)])
    assert await store.redate(T0, T0) == 1
    ledger = (await store.ledgers(T0))["1"]
    assert ledger.starts == (start(0),)
    assert ledger.limit == replace(far, seen_at=T0, resets_at=T0 + timedelta(days=1))
