"""Real workers and a real supervisor never spend a session start that is not recorded, nor one too many."""

import asyncio
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from flotilla.db.sessions import SqlSessions
from flotilla.db.tables import session_starts
from flotilla.domain.bots import BotStatus, Desired
from flotilla.domain.sessions import Cause, Start
from flotilla.domain.worker import State
from tests.stack import Stack, until


async def applications(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the sandbox's applications by their names."""
    return {row["name"]: row for row in (await stack.sandbox("GET", "/applications"))["items"]}


async def recorded(stack: Stack) -> Counter[str]:
    """Return how many starts each application has in the database."""
    async with stack.database.read() as connection:
        return Counter((await connection.execute(sa.select(session_starts.c.application_id))).scalars())


async def spend(stack: Stack, application_id: str, count: int) -> None:
    """Record starts of the last hours, as a bot that started too often has them."""
    at = datetime.now(UTC) - timedelta(hours=20)
    rows = [(application_id, Start(at + timedelta(seconds=number), Cause.CRASH)) for number in range(count)]
    await SqlSessions(stack.database).record(rows, [])


async def test_bot_that_crashes_right_after_ready_spends_hardly_a_session_start(stack: Stack) -> None:
    stack.environment["FLOTILLA_EXTENSIONS"] = "tests.extensions.crashing"
    stack.environment["FLOTILLA_MAX_FAILURES"] = "4"
    bot_id = await stack.add_bot("crasher")
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is given up")
    told = (await applications(stack))["crasher"]
    assert told["identifies"] <= 5
    assert (await recorded(stack))[told["id"]] == told["identifies"]


async def test_exhausted_bot_waits_with_its_reason_and_a_person_may_use_the_reserve(stack: Stack) -> None:
    bot_id = await stack.add_bot("spender")
    there = (await applications(stack))["spender"]
    await spend(stack, there["id"], 950)
    await stack.start_supervisor()
    waiting = await stack.observed(bot_id, lambda s: s.state is State.BACKOFF, "the bot waits")
    assert waiting.reason == "session_budget"
    # From then on it is not even spawned, whatever else happens to it.
    settled = await stack.observed(
        bot_id, lambda s: s.state is State.BACKOFF and s.vitals.session_start_at, "it says until when"
    )
    at, left = settled.vitals.session_start_at, settled.vitals.session_starts_left
    assert at is not None
    assert timedelta(hours=3) < at - datetime.now(UTC) < timedelta(hours=5)
    assert left == 50
    assert (await applications(stack))["spender"]["identifies"] == 0
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.ready, "the person's start is granted")
    assert (await recorded(stack))[there["id"]] == 951


async def test_discord_is_asked_for_its_gateway_once_over_cold_restarts_and_supervisors(stack: Stack) -> None:
    ids = await stack.add_bots(2)
    fetches = await stack.sandbox("POST", "/faults", kind="rest_latency", route="GET /gateway/bot", ms=0)
    for turn in range(2):
        supervisor = await stack.start_supervisor()
        for bot_id in ids:
            await stack.bots.want(bot_id, Desired.RUNNING)
        await stack.all_ready(2)
        for bot_id in ids:
            await stack.bots.want(bot_id, Desired.STOPPED)
            await stack.observed(bot_id, lambda s: s.state is State.STOPPED, "STOPPED")
        await supervisor.end()
        assert all(row["identifies"] == turn + 1 for row in (await applications(stack)).values())
    (now,) = (await stack.sandbox("GET", "/faults"))["items"]
    assert (now["id"], now["struck"]) == (fetches["id"], len(ids))


async def test_wave_of_lost_sessions_is_paced_for_each_bot_and_not_for_all(stack: Stack) -> None:
    stack.environment["FLOTILLA_IDENTIFY_INTERVAL_S"] = "2"
    await stack.add_bots(20)
    await stack.start_supervisor()
    await stack.all_ready(20)
    for row in (await applications(stack)).values():
        await stack.sandbox("POST", f"/applications/{row['id']}/session-starts", identify_interval_s=2.0)
    began = time.monotonic()
    await stack.sandbox("POST", "/faults", kind="invalid_session", resumable=False)

    async def renewed() -> bool:
        return all(row["identifies"] == 2 for row in (await applications(stack)).values())

    await until(renewed, "all have a new session")
    assert time.monotonic() - began < 15  # one after the other they would take 40 s
    assert set((await recorded(stack)).values()) == {2}
    assert all(status.generation == 1 for status in (await stack.statuses()).values())


async def test_supervisors_killed_at_any_moment_never_forget_a_start(stack: Stack) -> None:
    stack.environment["FLOTILLA_ALONE_AFTER_S"] = "60"  # on a slow machine a worker would not wait for the last one
    ids = await stack.add_bots(6)
    for delay_s in (0.03, 0.1):
        supervisor = await stack.start_supervisor()
        await asyncio.sleep(delay_s)  # somewhere between the fork of the first and READY of the last
        await supervisor.end(signal.SIGKILL)
    await stack.start_supervisor()
    await stack.all_ready(len(ids))
    told = (await applications(stack)).values()
    counted = await recorded(stack)
    assert all(counted[row["id"]] >= row["identifies"] >= 1 for row in told), (counted, told)


async def test_worker_without_a_supervisor_renews_its_session_and_tells_it_later(stack: Stack) -> None:
    stack.environment["FLOTILLA_ALONE_AFTER_S"] = "1"
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    await supervisor.end(signal.SIGKILL)
    await stack.sandbox("POST", "/faults", kind="invalid_session", resumable=False)

    async def renewed() -> bool:
        return bool((await applications(stack))["bot-0"]["identifies"] == 2)

    await until(renewed, "the worker identifies by itself", 25)
    await stack.start_supervisor()

    def same(status: BotStatus) -> bool:
        return status.ready and (status.pid, status.vitals.session_starts_24h) == (before.pid, 2)

    await stack.observed(bot_id, same, "the next supervisor knows of it")
