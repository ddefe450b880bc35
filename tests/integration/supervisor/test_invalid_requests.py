"""A bot that goes on asking what Discord refuses is held back long before the host's address is banned."""

import asyncio
import os
import signal
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.supervisors import SqlSupervisors
from flotilla.db.tables import happenings
from flotilla.domain.bots import BotStatus
from flotilla.domain.happenings import DISCORD_CODES
from flotilla.domain.worker import State
from tests.stack import Program, Stack, until

LIMIT = 200
EXTENSIONS = "worker_bot.extensions.core,tests.extensions.refused"


async def start(stack: Stack, bots: int = 2) -> tuple[list[str], list[str], Program]:
    """Start bots on a host with a small budget; return their ids, their applications, and the supervisor."""
    await stack.sandbox("POST", "/limits", invalid_requests_max=LIMIT)
    stack.environment |= {"FLOTILLA_EXTENSIONS": EXTENSIONS, "FLOTILLA_INVALID_REQUESTS_LIMIT": str(LIMIT)}
    ids = await stack.add_bots(bots)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(bots)
    return ids, [row.bot.application_id for row in await stack.store.fleet()], supervisor


async def refuse(stack: Stack, application_id: str, code: int) -> None:
    """Let Discord refuse whatever a bot asks of a channel."""
    await stack.sandbox(
        "POST", "/faults", kind="rest_refused", code=code, route="POST /channels/", applications=[application_id]
    )


async def use(stack: Stack, application_id: str, command: str, **options: object) -> dict[str, Any]:
    path = f"/applications/{application_id}/interactions"
    return dict(await stack.sandbox("POST", path, command=command, options=options))


async def invalid_requests(stack: Stack) -> int:
    """Return what the sandbox has counted of this host; it bans at LIMIT."""
    items = (await stack.sandbox("GET", "/addresses"))["items"]
    assert not any(item["banned_until"] for item in items), items
    return sum(item["invalid_requests"] for item in items)


async def told(stack: Stack, bot_id: str | None) -> list[str]:
    of_bot = happenings.c.bot_id.is_not_distinct_from(bot_id)
    query = sa.select(happenings.c.code).where(of_bot, happenings.c.code.not_in(DISCORD_CODES))
    async with stack.database.read() as connection:
        return list((await connection.execute(query)).scalars())


def is_held(status: BotStatus) -> bool:
    return bool(status.vitals.quarantined)


async def test_bot_that_hammers_is_held_back_alone_and_still_answers_and_the_next_supervisor_knows(
    stack: Stack,
) -> None:
    (bad, good), (bad_application, good_application), supervisor = await start(stack)
    await refuse(stack, bad_application, 50013)
    await use(stack, bad_application, "hammer")
    await stack.observed(bad, is_held, "it is quarantined")
    stood_at = await invalid_requests(stack)
    assert LIMIT * 0.4 < stood_at < LIMIT * 0.8
    assert await until(lambda: told(stack, None), "the host's happening is told") == ["invalid_requests"]
    assert await until(lambda: told(stack, bad), "the bot's happening is told") == ["quarantined"]

    assert (await use(stack, good_application, "send"))["message"]["content"] == "sent"
    answer = await use(stack, bad_application, "held")
    assert answer["status"] in {"answered", "deferred"}
    path = f"/applications/{bad_application}/interactions/{answer['interaction_id']}"

    async def follow_up() -> str:
        message = (await stack.sandbox("GET", path))["message"]
        return str(message["content"]) if message else ""

    assert "quarantined" in await until(follow_up, "its follow-up passes")

    os.kill(supervisor.pid, signal.SIGKILL)
    await supervisor.process.wait()
    await stack.start_supervisor()
    await stack.all_ready(2)

    async def known() -> bool:
        (seen,) = await SqlSupervisors(stack.database).all()
        return seen.vitals.invalid_requests_10m >= stood_at and seen.vitals.brake != "none"

    await until(known, "the next supervisor knows of them")
    assert is_held(await stack.status(bad))
    assert await invalid_requests(stack) <= stood_at + 20
    assert not is_held(await stack.status(good))


async def test_running_bot_whose_token_dies_is_fatal_after_a_few_requests_and_a_dead_webhook_is_nothing(
    stack: Stack,
) -> None:
    (dead, hook), (dead_application, hook_application), _ = await start(stack)
    await refuse(stack, dead_application, 40001)
    await refuse(stack, hook_application, 50027)
    await asyncio.gather(*(use(stack, each, "hammer", channels=1) for each in (dead_application, hook_application)))
    status = await stack.observed(dead, lambda s: s.state is State.FATAL, "the bot is FATAL")
    assert status.reason == "token_refused"
    await stack.observed(hook, is_held, "the other is held back for its webhook")
    assert (await stack.status(hook)).state is State.RUNNING
    by_application = (await stack.sandbox("GET", "/addresses"))["items"][0]["by_application"]
    assert by_application[dead_application] == {"401": pytest.approx(5, abs=1)}


async def test_worker_without_a_supervisor_stops_at_a_bound_of_its_own(stack: Stack) -> None:
    _, (bad_application, _), supervisor = await start(stack)
    supervisor.process.send_signal(signal.SIGSTOP)  # it hangs: its socket stays open
    try:
        await refuse(stack, bad_application, 50013)
        await use(stack, bad_application, "hammer", channels=2, per_second=4)

        async def held() -> bool:
            answer = await use(stack, bad_application, "ping")
            assert answer["status"] == "answered"
            before = await invalid_requests(stack)
            await asyncio.sleep(0.5)
            return before > 0 and await invalid_requests(stack) == before

        await until(held, "it has stopped")
        assert await invalid_requests(stack) < LIMIT * 0.4
    finally:
        supervisor.process.send_signal(signal.SIGCONT)
