"""Another process runs with a bot's token.

Both answer each command, so half of the answers fail with "already acknowledged". That is told, once in ten minutes,
for that bot alone, and with what to do. A bot's own deferrals, lost answers and warm restarts are not taken for it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.tables import happenings
from flotilla.domain.bots import Desired
from flotilla.domain.happenings import KINDS, Severity
from tests.stack import Stack, until
from worker_bot.first_responses import SETTLED_S

TWIN = """
import sys, hikari
bot = hikari.GatewayBot(sys.argv[2], rest_url=sys.argv[1], banner=None, logs=None)

@bot.listen()
async def answer(event: hikari.InteractionCreateEvent) -> None:
    await event.interaction.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, "from elsewhere")

@bot.listen()
async def ready(_: hikari.ShardReadyEvent) -> None:
    print("ready", flush=True)

bot.run(check_for_updates=False)
"""


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(
        tmp_path,
        poll_interval_s="0.1",
        interaction_defer_after_ms="300",
        extensions="worker_bot.extensions.core,tests.extensions.slow",
    )
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def told(stack: Stack) -> list[tuple[str, dict[str, Any]]]:
    """Return of which bots it was told, and what."""
    query = sa.select(happenings.c.bot_id, happenings.c.detail).where(happenings.c.code == "second_instance")
    async with stack.database.read() as connection:
        return [(row.bot_id, row.detail) for row in await connection.execute(query)]


async def use(stack: Stack, application_id: str, how: str = "public", wait_ms: int = 20) -> dict[str, Any]:
    path, options = f"/applications/{application_id}/interactions", {"how": how, "wait_ms": wait_ms}
    return dict(await stack.sandbox("POST", path, command="slow", options=options))


async def test_second_instance_elsewhere_is_told_once_and_of_that_bot_alone(stack: Stack) -> None:
    made = [await stack.sandbox("POST", "/applications", name=f"bot-{number}") for number in range(2)]
    first, second = [await stack.add_bot(each["name"], token=each["token"]) for each in made]
    await stack.start_supervisor()
    await stack.all_ready(2)
    url = stack.environment["FLOTILLA_DISCORD_URL"]
    twin = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TWIN, url, made[0]["token"], stdout=asyncio.subprocess.PIPE
    )
    try:
        assert twin.stdout is not None
        assert await asyncio.wait_for(twin.stdout.readline(), 60) == b"ready\n"
        await asyncio.sleep(SETTLED_S)  # what a worker meets right after its start may be its predecessor's

        async def used() -> list[tuple[str, dict[str, Any]]]:
            for each in made:
                await use(stack, each["id"])
            return await told(stack)

        await until(used, "it is told", 60)
        for _ in range(5):
            await used()
        ((bot_id, detail),) = await told(stack)
        assert bot_id == first != second
        assert detail["answers"] >= 2
        assert KINDS["second_instance"].severity is Severity.CRITICAL
        assert "flotilla bots token NAME" in KINDS["second_instance"].remedy
    finally:
        twin.kill()
        await twin.wait()


@pytest.mark.nightly
async def test_own_deferrals_and_warm_restarts_are_never_taken_for_it(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    await stack.sandbox("POST", "/faults", kind="rest_truncated", route="POST /interactions/", probability=0.2)

    async def ready(generation: int) -> None:
        await stack.observed(bot_id, lambda s: s.generation == generation and s.ready, "the bot is READY again")

    for generation in (2, 3):
        busy = [asyncio.create_task(use(stack, application["id"], wait_ms=wait)) for wait in (0, 100, 500, 1500)]
        await stack.bots.want(bot_id, Desired.RUNNING, again=True)
        busy += [asyncio.create_task(use(stack, application["id"], wait_ms=wait)) for wait in (0, 100, 500, 1500)]
        await ready(generation)
        await asyncio.gather(*busy)
    await asyncio.sleep(SETTLED_S)
    await asyncio.gather(*(use(stack, application["id"], wait_ms=wait) for wait in (0, 100, 500, 1500)))
    assert await told(stack) == []
