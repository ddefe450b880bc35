"""`python -m jobs` as a real process: an operation survives everything but the loss of the database."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis.asyncio
import sqlalchemy as sa

from flotilla.db.operations import SqlOperations
from flotilla.db.sessions import SqlSessions
from flotilla.db.tables import bot_transitions, operations
from flotilla.db.uptime import SqlUptime
from flotilla.domain.bots import Transition
from flotilla.domain.operations import Item, ItemState, Operation, OperationState
from flotilla.domain.sessions import Start
from flotilla.domain.worker import State
from flotilla.nudges import CHANNEL
from flotilla.queue import ADVANCE, QUEUE, enqueue_advance, open_arq
from jobs.retention import forget
from tests.builders import a_bot, an_operation
from tests.integration.jobs.conftest import Fleet, StartJobs
from tests.services import Program, Valkey, wait_until

READY = "jobs.ready"
STOP_S = 10.0
"""An idle machine takes less than 5 s."""


@pytest.fixture
def other_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="flotilla-"))
    yield folder / "var"
    shutil.rmtree(folder)


def assert_done(operation: Operation, number: int) -> None:
    assert (operation.state, operation.counts) == (OperationState.SUCCEEDED, {ItemState.SUCCEEDED: number})


def assert_refused(program: Program, *words: str) -> None:
    """It ends with 78 and one sentence that holds `words`."""
    assert program.exit_code() == 78
    assert "Traceback" not in program.log
    (sentence,) = [line for line in program.log.splitlines() if line.startswith("jobs: ")]
    for word in words:
        assert word in sentence


async def test_enqueued_operation_runs_to_its_end(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    program = start()
    program.wait_for(READY)
    operation = await fleet.begin(7, batch_size=3)
    arq = open_arq(valkey.url)
    assert await enqueue_advance(arq, operation.id) or "operation.enqueued_by_sweep" in program.log
    await arq.aclose(close_connection_pool=True)
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 7)
    assert sorted(fleet.restarted) == [f"bot-{number:04d}" for number in range(7)]
    program.wait_for("operation.finished")
    assert "Traceback" not in program.log


async def test_supervisor_is_nudged_when_something_begins(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    client = redis.asyncio.Redis(unix_socket_path=str(valkey.socket))
    async with client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        start()
        await fleet.begin(1)
        message = None
        async with asyncio.timeout(20):
            while message is None:
                message = await channel.get_message(timeout=1)
    await client.aclose()


async def test_operation_that_was_never_enqueued_is_found_by_the_sweep(
    start: StartJobs, valkey: Valkey, fleet: Fleet
) -> None:
    valkey.start()
    operation = await fleet.begin(2)
    program = start()
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 2)
    assert "operation.enqueued_by_sweep" in program.log


async def test_operation_survives_kill_9_of_the_job_worker(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    program = start()
    operation = await fleet.begin(6)
    await fleet.until_running(operation, 2)
    program.send(signal.SIGKILL)
    assert program.exit_code() == -signal.SIGKILL
    start().wait_for(READY)
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 6)
    assert len(fleet.restarted) == 6


async def test_job_of_a_killed_worker_is_taken_over_when_its_claim_ends(
    start: StartJobs, valkey: Valkey, fleet: Fleet
) -> None:
    valkey.start()
    operation = await fleet.begin(2)
    arq = open_arq(valkey.url)
    await enqueue_advance(arq, operation.id)
    # What arq leaves behind when its process dies in the middle of a job.
    await arq.psetex(f"arq:in-progress:{ADVANCE}:{operation.id}", 5000, b"1")
    await arq.aclose(close_connection_pool=True)
    start()
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 2)


async def test_operation_survives_a_flushed_valkey(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    program = start()
    operation = await fleet.begin(6)
    await fleet.until_running(operation, 2)
    with valkey.client() as client:
        for _ in range(3):
            client.flushall()
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 6)
    assert len(fleet.restarted) == 6
    assert "Traceback" not in program.log


async def test_operation_survives_a_valkey_that_crashes_and_comes_back_empty(
    start: StartJobs, valkey: Valkey, fleet: Fleet
) -> None:
    valkey.start()
    program = start()
    operation = await fleet.begin(6)
    await fleet.until_running(operation, 2)
    valkey.kill()
    program.wait_for("valkey.away")
    valkey.start()
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 6)
    assert "valkey.back" in program.log
    assert "Traceback" not in program.log


async def test_valkey_absent_at_start_is_waited_for(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    operation = await fleet.begin(2)
    program = start()
    program.wait_for("valkey.away", times=3)
    valkey.start()
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 2)
    assert "Traceback" not in program.log


async def test_two_job_programs_on_one_queue_restart_each_bot_once(
    start: StartJobs, valkey: Valkey, fleet: Fleet, home: Path, other_home: Path
) -> None:
    valkey.start()
    shared = {"database_url": f"sqlite:///{home / 'flotilla.db'}", "redis_url": valkey.url}
    programs = [start(**shared), start(home=other_home, **shared)]
    for program in programs:
        program.wait_for(READY)
    first = await fleet.begin(8)
    others = [a_bot(number) for number in range(100, 104)]
    for bot in others:
        await fleet.bots.add(bot, b"")
    second = await fleet.begin_on(others)
    async with fleet.supervised():
        assert_done(await fleet.until_finished(first), 8)
        assert_done(await fleet.until_finished(second), 4)
    assert len(fleet.restarted) == len(set(fleet.restarted)) == 12
    assert all("Traceback" not in program.log for program in programs)


async def test_broken_operation_does_not_hold_up_the_others(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    broken = await fleet.begin_on([])
    async with fleet.database.write() as connection:
        await connection.execute(operations.update().where(operations.c.id == broken.id).values(kind="of-the-future"))
    program = start()
    program.wait_for("operation.broken")
    operation = await fleet.begin(3)
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 3)
    assert program.log.count("operation.broken") == 1


async def test_job_of_an_operation_that_is_gone_ends(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    arq = open_arq(valkey.url)
    await enqueue_advance(arq, "gone")
    await arq.aclose(close_connection_pool=True)
    start().wait_for("operation.gone")
    with valkey.client() as client:
        wait_until(lambda: not client.zcard(QUEUE), "the job is gone from the queue")


async def test_database_that_is_away_for_a_while_delays_and_no_more(
    start: StartJobs, valkey: Valkey, fleet: Fleet
) -> None:
    valkey.start()
    program = start()
    operation = await fleet.begin(2)
    await fleet.until_running(operation, 2)
    async with fleet.database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE operations RENAME TO hidden"))
    program.wait_for("operation.delayed")
    program.wait_for("sweep.failed")
    async with fleet.database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE hidden RENAME TO operations"))
    async with fleet.supervised():
        assert_done(await fleet.until_finished(operation), 2)


async def test_sigterm_ends_it_in_time_and_leaves_no_claim(start: StartJobs, valkey: Valkey, fleet: Fleet) -> None:
    valkey.start()
    program = start()
    operation = await fleet.begin(2)
    await fleet.until_running(operation, 2)
    began = time.monotonic()
    program.send(signal.SIGTERM)
    assert program.exit_code() == 0
    assert time.monotonic() - began < STOP_S
    assert "Traceback" not in program.log
    with valkey.client() as client:
        assert client.keys("arq:in-progress:*") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_is_heard_while_valkey_is_away(start: StartJobs, fleet: Fleet, number: signal.Signals) -> None:
    program = start()
    program.wait_for("valkey.away")
    program.send(number)
    assert program.exit_code(STOP_S) == 0
    assert "Traceback" not in program.log


def test_database_without_a_shape_is_refused(start: StartJobs) -> None:
    assert_refused(start(), "flotilla db upgrade")


async def test_second_job_program_in_one_home_is_refused(start: StartJobs, fleet: Fleet) -> None:
    start().wait_for("valkey.away")
    assert_refused(start(), "Another jobs")


async def test_url_of_valkey_that_is_wrong_is_refused(start: StartJobs, fleet: Fleet) -> None:
    assert_refused(start(redis_url="nonsense"), "FLOTILLA_REDIS_URL")


async def test_old_transitions_are_forgotten_and_what_uptime_needs_is_kept(
    start: StartJobs, valkey: Valkey, fleet: Fleet
) -> None:
    bot, now = a_bot(1), datetime.now(UTC)
    await fleet.bots.add(bot, b"")
    days = (50, 40, 36, 34, 1)
    rows = [Transition(bot.id, now - timedelta(days=day), State.RUNNING, day != 40, 1, None) for day in days]
    await fleet.store.save([], rows)
    starts = SqlSessions(fleet.database)
    await starts.record([("1", Start(now - timedelta(hours=hours), "crash")) for hours in (40, 30, 2)], [])
    before = await SqlUptime(fleet.database).report(bot.id, now)
    bulk, old = SqlOperations(fleet.database), [an_operation() for _ in range(2)]
    for operation, day in zip(old, (91, 89), strict=True):
        await bulk.add(operation, [Item(bot.id, bot.name)])
        await bulk.cancel(operation.id, now - timedelta(days=day))
    valkey.start()
    program = start()
    program.wait_for("retention.swept")
    assert [row.id for row in (await bulk.page(10, None)).items] == [old[1].id]
    async with fleet.database.read() as connection:
        kept = (await connection.execute(sa.select(bot_transitions.c.at).order_by(bot_transitions.c.at))).scalars()
        assert [(now - at).days for at in kept] == [36, 34, 1]
    assert len((await starts.ledgers(now - timedelta(days=5)))["1"].starts) == 1
    assert await SqlUptime(fleet.database).report(bot.id, now) == before


async def test_sweep_of_old_transitions_goes_on_batch_by_batch(fleet: Fleet) -> None:
    bot, now = a_bot(1), datetime.now(UTC)
    await fleet.bots.add(bot, b"")
    rows = [Transition(bot.id, now - timedelta(days=40 + n), State.RUNNING, True, 1, None) for n in range(8)]
    await fleet.store.save([], rows)
    assert [await forget(SqlUptime(fleet.database), now, batch=3) for _ in range(2)] == [7, 0]
