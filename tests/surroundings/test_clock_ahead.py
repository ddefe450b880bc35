"""One start with the clock forty days ahead.

Nothing that is kept for a time is deleted: command logs, transitions, session starts, operations. The budget of session
starts is what it was, during and after; it never says that starts come back in 41 days.
"""

import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.operations import SqlOperations
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.tables import bot_transitions, command_logs, operations, rollovers, session_starts
from flotilla.domain.bots import Transition
from flotilla.domain.claims import SLOT
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.rollover_record import Phase, RolloverRequest, RolloverStatus
from flotilla.domain.sessions import Start
from flotilla.domain.worker import State
from tests.builders import an_operation
from tests.services import Valkey, running_valkey
from tests.stack import Stack, until

DAYS = timedelta(days=40)


pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def ahead(tmp_path: Path) -> dict[str, str]:
    """Environment in which the clock is forty days ahead."""
    library = tmp_path / "clock_ahead.so"
    source = Path(__file__).with_name("clock_ahead.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    name = "CLOCK_AHEAD_S"
    return {"LD_PRELOAD": str(library), name: str(int(DAYS.total_seconds())), "FLOTILLA_BOT_ENVIRONMENT": name}


async def _rows(stack: Stack) -> dict[str, int]:
    async with stack.database.read() as connection:
        return {
            table.name: (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
            for table in (bot_transitions, command_logs, session_starts, operations, rollovers)
        }


async def test_nothing_is_deleted_and_the_budget_stays_what_it_was(
    stack: Stack, ahead: dict[str, str], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    [bot_id] = await stack.add_bots(1)
    application_id = (await stack.store.fleet())[0].bot.application_id
    await stack.store.save(
        [], [Transition(bot_id, now - timedelta(days=day), State.RUNNING, True, 1, None) for day in (30, 20, 1)]
    )
    await SqlSessions(stack.database).record(
        [(application_id, Start(now - timedelta(hours=hours), "crash")) for hours in (20, 3, 2)], []
    )
    logs = [_log(now - timedelta(days=day)) for day in (25, 10, 1)]
    await SqlCommandLogs(stack.database).record_command_logs([(bot_id, log) for log in logs])
    await _end_an_operation_and_a_rollover(stack, now - timedelta(days=80))
    await stack.store.seen(SLOT, 1, now, now)
    before = await _rows(stack)

    with running_valkey(tmp_path / "v.sock") as valkey:
        await _run(stack, valkey, ahead)
        during = await _rows(stack)
        spent = (await stack.status(bot_id)).vitals.session_starts_24h
        assert all(during[name] >= count for name, count in before.items()), (before, during)
        assert spent is not None
        assert spent >= 3, "what was spent before counts"

        await _run(stack, valkey, {})
    after = await _rows(stack)
    assert all(after[name] >= count for name, count in during.items())
    vitals = (await stack.status(bot_id)).vitals
    assert vitals.session_starts_24h is not None
    assert vitals.session_starts_24h >= spent
    assert vitals.session_starts_back_at is not None
    assert vitals.session_starts_back_at <= datetime.now(UTC) + timedelta(hours=25)


async def _end_an_operation_and_a_rollover(stack: Stack, at: datetime) -> None:
    operation, bulk = an_operation(), SqlOperations(stack.database)
    await bulk.add(operation, [])
    await bulk.cancel(operation.id, at)
    store, asked = SqlRollovers(stack.database), RolloverRequest(str(ULID()), "somebody", at)
    await store.request(asked)
    await store.save(RolloverStatus(asked.id, Phase.DONE, finished_at=at))


async def _run(stack: Stack, valkey: Valkey, environment: dict[str, str]) -> None:
    """Have supervisor and jobs run until all is READY and the sweep is done; then end them, the bots with them."""
    jobs = await stack.start("jobs", FLOTILLA_REDIS_URL=valkey.url, **environment)
    old = (await stack.statuses()).popitem()[1].generation
    supervisor = await stack.start_supervisor(**environment)
    bot_id = next(iter(await stack.statuses()))
    await stack.observed(bot_id, lambda status: status.ready and status.generation > old, "it runs by that clock", 60)
    await stack.observed(bot_id, lambda status: status.vitals.session_starts_24h, "its budget is shown")
    await until(lambda: "retention.swept" in jobs.text(), "the sweep is done")
    await jobs.end()
    await supervisor.end(signal.SIGINT)


def _log(at: datetime) -> CommandLog:
    return CommandLog(
        id=str(ULID.from_datetime(at)),
        at=at.timestamp(),
        kind=Kind.COMMAND,
        name="ping",
        outcome=Outcome.ANSWERED,
        interaction_id=1,
        user_id=2,
        guild_id=None,
        channel_id=None,
        options={},
        first_ms=1.0,
        total_ms=1.0,
        deferred=False,
        error=None,
        reference=None,
    )
