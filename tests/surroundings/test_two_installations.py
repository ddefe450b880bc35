"""Two installations are started on one database.

The second is refused with a sentence that names the first, and takes the bots over only when it is told to; whoever is
taken over from stops its bots before the other starts them, ends for good and says so. A killed supervisor, a restored
backup and a moved home are no second installation.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from flotilla.claiming import acquire
from flotilla.db.claims import SqlClaims
from flotilla.db.tables import supervisor_claims
from flotilla.domain.bots import BotStatus
from flotilla.domain.claims import SLOT
from flotilla.installation import claimant
from flotilla.program import EX_CONFIG
from tests.stack import Stack, alive, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def homes(tmp_path: Path) -> AsyncIterator[tuple[Stack, Stack]]:
    """Two homes with one database and one key."""
    quick = {"poll_interval_s": "0.1", "database_url": f"sqlite:///{tmp_path}/shared.db"}
    first = await Stack.create(tmp_path / "a", **quick)
    second = await Stack.create(tmp_path / "b", **quick)
    second.settings.key_file.write_bytes(first.settings.key_file.read_bytes())
    try:
        await first.start_sandbox()
        second.environment["FLOTILLA_IDENTIFY_INTERVAL_S"] = "0"
        second.use_sandbox(first.sandbox_url, first.sandbox_key)
        yield first, second
    finally:
        await second.close()
        await first.close()


async def test_the_second_is_refused_until_it_is_told_to_take_over(homes: tuple[Stack, Stack]) -> None:
    first, second = homes
    ids = await first.add_bots(2)
    one = await first.start_supervisor()
    before = await first.all_ready(2)

    refused = await second.start("supervisor")
    assert await asyncio.wait_for(refused.process.wait(), 60) == EX_CONFIG
    assert f"{first.home} on " in refused.text()
    assert "--take-over" in refused.text()
    assert {status.pid for status in (await first.statuses()).values()} == {before[id_].pid for id_ in ids}

    await acquire(SqlClaims(second.database), SLOT, claimant(second.settings), take_over=True)
    assert not any(alive(status.pid) for status in before.values()), "the bots of the first were stopped before"
    assert await asyncio.wait_for(one.process.wait(), 60) == EX_CONFIG
    assert f"taken the bots of this database over: {second.home}" in one.text()

    two = await second.start_supervisor()
    assert "claim.waiting" not in two.text()
    for id_ in ids:
        old = before[id_].generation
        await second.observed(id_, _newer_than(old), "the other one runs it")
    after = await second.statuses()

    again = await first.start("supervisor")
    assert await asyncio.wait_for(again.process.wait(), 60) == EX_CONFIG
    assert {status.pid for status in (await second.statuses()).values()} == {after[id_].pid for id_ in ids}


def _newer_than(generation: int) -> Callable[[BotStatus], bool]:
    return lambda status: status.ready and status.generation > generation


async def test_a_killed_supervisor_and_a_restored_backup_are_no_second_one(stack: Stack) -> None:
    [bot_id] = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid
    supervisor.process.kill()
    await supervisor.process.wait()
    successor = await stack.start_supervisor()
    assert "claim.waiting" not in successor.text()
    assert "adopted=1" in successor.text()
    # A backup of yesterday: the claim is gone from it.
    async with stack.database.write() as connection:
        await connection.execute(supervisor_claims.delete())
    await until(lambda: "claim.taken_again" in successor.text(), "the claim is taken again")
    assert (await stack.status(bot_id)).pid == pid
    assert successor.process.returncode is None


async def test_a_home_that_was_moved_is_the_same_installation(stack: Stack, tmp_path: Path) -> None:
    mine = claimant(stack.settings)
    held = await SqlClaims(stack.database).take(SLOT, mine)
    moved = Path(str(tmp_path) + "-moved")
    (moved / "run").mkdir(parents=True)
    (tmp_path / "installation").rename(moved / "installation")
    there = claimant(stack.settings.model_copy(update={"home": moved}))
    assert there.home != mine.home
    taken = await asyncio.wait_for(acquire(SqlClaims(stack.database), SLOT, there, observe_s=60), 10)
    assert taken.epoch == held.epoch + 1


async def test_time_is_the_databases(stack: Stack) -> None:
    """Two hosts' clocks are never compared: what is stored comes from one of them."""
    held = await SqlClaims(stack.database).take(SLOT, claimant(stack.settings))
    assert 0 <= (held.read_at - held.beat_at).total_seconds() < 60
    async with stack.database.write() as connection:
        await connection.execute(sa.update(supervisor_claims).values(beats=1))
    assert await SqlClaims(stack.database).beat(SLOT, held.epoch)
