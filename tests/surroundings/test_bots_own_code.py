"""A bot's own code holds up hikari, or is broken in part.

A listener that runs on hides neither that Discord closed the bot's session for good, nor that the connection is lost.
An extension that can no longer be imported costs nobody the commands that are registered, whoever loads it, and it is
told.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.tables import happenings
from flotilla.domain.bots import BotStatus
from flotilla.domain.config import BotConfig
from flotilla.domain.worker import State
from tests.stack import Stack, until

Write = Callable[[str, str], None]

RUNS_ON = """
import asyncio, os
import hikari

async def runs_on(_):
    await asyncio.Event().wait()

def create_bot():
    bot = hikari.GatewayBot(token=os.environ["DISCORD_TOKEN"])
    for event in (hikari.StartedEvent, hikari.ShardConnectedEvent, hikari.ShardDisconnectedEvent):
        bot.subscribe(event, runs_on)
    return bot
"""
LOADS = """
import os
import hikari, lightbulb

def create_bot():
    bot = hikari.GatewayBot(token=os.environ["DISCORD_TOKEN"])
    client = lightbulb.client_from_app(bot)

    @bot.listen(hikari.StartingEvent)
    async def load(_):
        await client.load_extensions("whole_part", "half_part")
        await client.start()

    return bot
"""
PART = """
import lightbulb
{line}
loader = lightbulb.Loader()

@loader.command
class Command(lightbulb.SlashCommand, name="{name}", description="Of an extension."):
    @lightbulb.invoke
    async def invoke(self, ctx):
        await ctx.respond("yes")
"""


@pytest.fixture
def write(stack: Stack, tmp_path: Path) -> Write:
    """What writes a module of the bot's own, found by the supervisors that are started later."""
    folder = tmp_path / "code"
    folder.mkdir()
    stack.environment["FLOTILLA_EXTENSIONS_PATH"] = str(folder)

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)

    return write


async def application(stack: Stack) -> dict[str, Any]:
    (own,) = (await stack.sandbox("GET", "/applications"))["items"]
    return dict(await stack.sandbox("GET", f"/applications/{own['id']}"))


@pytest.mark.nightly
async def test_listeners_that_run_on_hold_no_reconnect_and_hide_no_closed_session(stack: Stack, write: Write) -> None:
    write("running_on", RUNS_ON)
    bot_id = await stack.add_bot("own", config=BotConfig(app="running_on:create_bot"))
    await stack.start_supervisor()
    first = (await stack.all_ready(1))[bot_id]
    await stack.sandbox("POST", "/faults", kind="drop")

    async def resumed() -> bool:
        own = await application(stack)
        return bool(own["resumes"] == 1 and own["sessions_connected"] == 1)

    await until(resumed, "it has resumed")
    assert (await stack.status(bot_id)).pid == first.pid
    await stack.sandbox("POST", f"/applications/{(await application(stack))['id']}/token-reset")

    def is_given_up(status: BotStatus) -> bool:
        return status.state is State.FATAL

    assert (await stack.observed(bot_id, is_given_up, "it is given up")).reason == "token_refused"


async def test_an_extension_that_cannot_be_imported_any_more_keeps_its_commands(stack: Stack, write: Write) -> None:
    write("loading_parts", LOADS)
    for name in ("whole", "half"):
        write(f"{name}_part", PART.format(name=name, line=""))
    bot_id = await stack.add_bot("own", config=BotConfig(app="loading_parts:create_bot"))
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    assert (await application(stack))["commands"] == ["half", "whole"]
    await supervisor.end(signal.SIGINT)
    write("whole_part", PART.format(name="new", line=""))
    write("half_part", PART.format(name="half", line="import not_there"))
    await stack.start_supervisor()

    async def registered() -> bool:
        return bool((await application(stack))["commands"] == ["half", "new", "whole"])

    await until(registered, "what is new is registered, and nothing is taken away")

    async def told() -> list[Any]:
        query = sa.select(happenings.c.detail).where(
            happenings.c.code == "extension_lost", happenings.c.bot_id == bot_id
        )
        async with stack.database.read() as connection:
            return [row.detail["extensions"] for row in await connection.execute(query)]

    assert await until(told, "it is told") == [["half_part"]]
