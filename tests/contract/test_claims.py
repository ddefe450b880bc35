"""Claims on a database's bots, on SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest

from flotilla.claiming import ClaimedError, acquire
from flotilla.db.bots import SqlBots
from flotilla.db.claims import SqlClaims
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import BotStatus
from flotilla.domain.claims import SLOT, Claimant
from flotilla.errors import RetryError
from tests.builders import a_bot

A = Claimant("01A", "boot-a", "1", "/home/a", "host-a", 10)
B = Claimant("01B", "boot-b", "1", "/home/b", "host-b", 20)


async def test_the_first_of_two_at_once_has_it(database: Database) -> None:
    claims = SqlClaims(database)
    found = await asyncio.gather(claims.take(SLOT, A), claims.take(SLOT, B))
    assert found[0].holder == found[1].holder
    assert [claim.epoch for claim in found] == [1, 1]


async def test_the_same_home_has_it_at_once_whatever_became_of_its_supervisor(database: Database) -> None:
    claims = SqlClaims(database)
    first = await acquire(claims, SLOT, A)
    again = await asyncio.wait_for(acquire(claims, SLOT, replace(A, pid=11), observe_s=60, yield_s=60), 10)
    assert (first.epoch, again.epoch) == (1, 2)


async def test_another_waits_for_one_that_is_gone_and_then_has_it(database: Database) -> None:
    claims = SqlClaims(database)
    await claims.take(SLOT, A)
    taken = await acquire(claims, SLOT, B, observe_s=0.5, yield_s=60)
    assert taken.holder == B
    assert not await claims.beat(SLOT, 1), "the one before sees that it has lost it"


async def test_one_that_was_released_is_had_at_once(database: Database) -> None:
    claims = SqlClaims(database)
    held = await claims.take(SLOT, A)
    await claims.release(SLOT, held.epoch)
    assert (await asyncio.wait_for(acquire(claims, SLOT, B, observe_s=60, yield_s=60), 10)).holder == B


async def test_one_that_lives_is_refused_or_asked_to_yield(database: Database) -> None:
    claims = SqlClaims(database)
    held = await claims.take(SLOT, A)
    stopped_bots = asyncio.Event()

    async def live() -> None:
        while await claims.beat(SLOT, held.epoch):  # noqa: ASYNC110 - the other one is another host
            await asyncio.sleep(0.05)
        now = await claims.read(SLOT)
        assert now is not None
        assert not now.yielded
        stopped_bots.set()
        await claims.yield_to(SLOT, now.epoch)

    living = asyncio.create_task(live())
    with pytest.raises(ClaimedError, match="/home/a on host-a"):
        await acquire(claims, SLOT, B, observe_s=60)
    taken = await acquire(claims, SLOT, B, take_over=True, observe_s=60, yield_s=60)
    assert taken.holder == B
    assert stopped_bots.is_set()
    await living


async def test_what_is_observed_under_a_lost_claim_is_not_stored(database: Database) -> None:
    bot, claims, store = a_bot(1), SqlClaims(database), SqlFleetStore(database)
    await SqlBots(database).add(bot, b"")
    held = await claims.take(SLOT, A)
    store.fence = SLOT, held.epoch
    await store.save([BotStatus(bot.id, generation=1)], [])
    await claims.take(SLOT, B, over=held)
    with pytest.raises(RetryError):
        await store.save([BotStatus(bot.id, generation=2)], [])
    assert (await SqlFleetStore(database).fleet())[0].status.generation == 1
