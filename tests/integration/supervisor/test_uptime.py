"""What is recorded of a bot's uptime, against what Discord (here the sandbox) and the kernel saw of it."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa

from flotilla.db.tables import supervisors
from flotilla.db.uptime import SqlUptime
from flotilla.domain.bots import Desired
from flotilla.domain.uptime import Uptime
from flotilla.domain.worker import State
from tests.stack import Stack, alive

NEAR = timedelta(milliseconds=100)
"""What news may take on a shared machine: of an exit to the supervisor, of READY from the sandbox through the worker.
It mostly takes less than 10 ms."""


async def day(stack: Stack, bot_id: str, now: datetime | None = None) -> Uptime:
    return (await SqlUptime(stack.database).report(bot_id, now or datetime.now(UTC))).windows["24h"]


async def seen_at(stack: Stack) -> datetime:
    async with stack.database.read() as connection:
        found: datetime = (await connection.execute(sa.select(supervisors.c.seen_at))).scalar_one()
        return found


def begun(application: Any) -> int:
    """Return how many sessions the sandbox has seen begin or go on."""
    return int(application["identifies"] + application["resumes"])


async def outage(stack: Stack, pid: int) -> tuple[timedelta, timedelta]:
    """Kill the only bot's worker; return how long at least and at most the sandbox was without a new session of it.

    The truth lies between the last look that found none and the first one that found it.
    """
    url = f"{stack.sandbox_url}/sandbox"
    async with httpx.AsyncClient(base_url=url, headers=stack.control, timeout=10) as client:

        async def look() -> Any:
            (application,) = (await client.get("/applications")).json()["items"]
            return application

        began = begun(await look())
        os.kill(pid, signal.SIGKILL)
        killed_at = asked_at = datetime.now(UTC)
        async with asyncio.timeout(30):
            while True:
                before, asked_at = asked_at, datetime.now(UTC)
                application = await look()
                if begun(application) > began and application["sessions_connected"]:
                    return before - killed_at, datetime.now(UTC) - killed_at
                await asyncio.sleep(0.002)


async def test_recorded_downtime_of_a_killed_worker_is_what_was_seen(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    status = (await stack.all_ready(1))[bot_id]
    before = await day(stack, bot_id)
    assert (before.down, before.ratio) == (timedelta(), 1.0)
    at_least, at_most = await outage(stack, status.pid or 0)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")
    after = await day(stack, bot_id)
    assert after.down > timedelta()
    assert at_least - NEAR < after.down < at_most + NEAR
    await asyncio.sleep(0.3)
    assert (await day(stack, bot_id)).down == after.down


async def test_supervisor_that_is_killed_and_comes_back_costs_no_uptime(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    status = (await stack.all_ready(1))[bot_id]
    await supervisor.end(signal.SIGKILL)
    await asyncio.sleep(1)
    await stack.start_supervisor()
    await asyncio.sleep(4)  # longer than the liveness timeout
    assert (await stack.status(bot_id)).pid == status.pid
    now = datetime.now(UTC)
    spent = await day(stack, bot_id, now)
    assert spent == Uptime(up=now - (status.since or now), unwanted=timedelta(days=1) - (now - (status.since or now)))
    assert spent.ratio == 1.0


async def test_worker_lost_without_a_supervisor_is_down_since_that_was_last_seen(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    status = (await stack.all_ready(1))[bot_id]
    since = status.since or datetime.now(UTC)
    await supervisor.end(signal.SIGKILL)
    last = await seen_at(stack)
    os.kill(status.pid or 0, signal.SIGKILL)
    unseen = await day(stack, bot_id, last + timedelta(hours=1))
    assert unseen.unknown == timedelta(hours=1) - max(timedelta(), since - last)
    await asyncio.sleep(1)
    await stack.start_supervisor()
    again = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    down = (await day(stack, bot_id)).down
    assert down == (again.since or last) - max(last, since)
    assert down > timedelta(seconds=1)


async def test_session_lost_without_a_supervisor_is_told_to_the_next(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    status = (await stack.all_ready(1))[bot_id]
    await supervisor.end(signal.SIGKILL)
    await stack.programs[0].end(signal.SIGKILL)
    await asyncio.sleep(1)
    await stack.start_supervisor()
    lost = await stack.observed(bot_id, lambda s: not s.ready, "the bot is known not to be READY")
    assert (lost.state, lost.pid) == (State.RUNNING, status.pid)
    assert alive(status.pid)
    assert (await day(stack, bot_id)).down > timedelta(seconds=1)


async def test_stop_and_restart_that_were_asked_for_count_neither_way(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    await stack.bots.want(bot_id, Desired.STOPPED)
    await stack.observed(bot_id, lambda s: s.state is State.STOPPED, "the bot is STOPPED")
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.ready, "the bot is READY again")
    assert await supervisor.end(signal.SIGINT) == 0  # the whole fleet is stopped
    await stack.start_supervisor()
    status = await stack.observed(bot_id, lambda s: s.ready, "the bot is READY again")
    assert (await day(stack, bot_id)).down == timedelta()
    await stack.bots.restart(bot_id)
    await stack.observed(bot_id, lambda s: s.generation > status.generation and s.ready, "the bot is restarted")
    assert (await day(stack, bot_id)).down == timedelta(), "the session was resumed: nobody noticed"
