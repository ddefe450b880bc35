"""Whole bots of operators' own, as they were written for plain hikari, and extensions of single bots."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.rollovers import SqlRollovers
from flotilla.db.tables import command_logs
from flotilla.domain.bots import BotStatus, Desired
from flotilla.domain.config import BotConfig
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus
from tests.stack import Stack, until

PLAIN = """
import os
import hikari

def create_bot():
    bot = hikari.GatewayBot(token=os.environ["DISCORD_TOKEN"], intents=hikari.Intents.{intents})

    @bot.listen(hikari.StartingEvent)
    async def register(_):
        me = await bot.rest.fetch_application()
        await bot.rest.set_application_commands(me.id, [bot.rest.slash_command_builder("ping", "Pong.")])

    @bot.listen(hikari.InteractionCreateEvent)
    async def answer(event):
        guilds = len(bot.cache.get_guilds_view())
        await event.interaction.create_initial_response(
            hikari.ResponseType.MESSAGE_CREATE, f"{version} with {int(bot.intents)} in {guilds}"
        )

    return bot

if __name__ == "__main__":
    create_bot().run()
"""
MODULE_LEVEL = """
import os
import hikari
import lightbulb

bot = hikari.GatewayBot(os.environ["TOKEN"], banner="none", logs="DEBUG")
client = lightbulb.client_from_app(bot)
bot.subscribe(hikari.StartedEvent, client.start)

@client.register
class Ping(lightbulb.SlashCommand, name="ping", description="Pong."):
    @lightbulb.invoke
    async def invoke(self, ctx):
        await ctx.respond("from lightbulb")
"""
EXTENSION = """
import lightbulb
loader = lightbulb.Loader()

@loader.command
class Special(lightbulb.SlashCommand, name="special", description="Of one bot."):
    @lightbulb.invoke
    async def invoke(self, ctx):
        await ctx.respond("special")
"""


@dataclass
class Scene:
    """A folder with code of operators' own, and a home that finds it."""

    stack: Stack
    folder: Path

    def write(self, name: str, source: str, **facts: str) -> None:
        for key, value in facts.items():
            source = source.replace("{" + key + "}", value)
        (self.folder / f"{name}.py").write_text(source)

    async def add(self, name: str, **config: Any) -> str:
        return await self.stack.add_bot(name, config=BotConfig(**config))

    async def application(self, name: str = "plain") -> dict[str, Any]:
        items = (await self.stack.sandbox("GET", "/applications"))["items"]
        return dict(next(item for item in items if item["name"] == name))

    async def use(self, name: str = "plain", command: str = "ping") -> str:
        own = (await self.application(name))["id"]
        told = await self.stack.sandbox("POST", f"/applications/{own}/interactions", command=command)
        return str(told["response"]["data"]["content"])

    async def failed(self, bot_id: str, *words: str) -> None:
        """Wait until the bot's code has failed, and its log says why."""
        name = next(row.bot.name for row in await self.stack.store.fleet() if row.bot.id == bot_id)
        await self.stack.observed(bot_id, lambda s: s.reason == "bot_code_failed", f"{name} has failed")
        log = (self.stack.settings.log_dir / "bots" / f"{name}.log").read_text()
        for word in words:
            assert word in log, log


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    folder = tmp_path / "code"
    folder.mkdir()
    stack = await Stack.create(
        tmp_path / "h",
        poll_interval_s="0.1",
        stop_grace_s="3",
        startup_timeout_s="20",
        preload_timeout_s="4",
        extensions_path=str(folder),
    )
    try:
        await stack.start_sandbox()
        yield Scene(stack, folder)
    finally:
        await stack.close()


async def rolled_over(scene: Scene) -> RolloverStatus:
    """Ask for a roll-over and return how it ended."""
    store = SqlRollovers(scene.stack.database)
    asked = RolloverRequest(str(ULID()), "a test", datetime.now(UTC))
    await store.request(asked)

    async def end() -> RolloverStatus | None:
        status = (await store.get(asked.id)).status
        return status if status.phase in FINISHED else None

    ended: RolloverStatus = await until(end, "the roll-over has ended")
    return ended


def is_ready(generation: int, status: BotStatus) -> bool:
    return status.generation == generation and status.ready


async def test_a_bot_for_plain_hikari_is_supervised_and_loses_nothing_over_restarts_and_a_kill(scene: Scene) -> None:
    scene.write("plain", PLAIN, version="one", intents="ALL_UNPRIVILEGED")
    bot_id = await scene.add("plain", app="plain:create_bot")
    await scene.stack.start_supervisor()
    await scene.stack.all_ready(1)
    assert (await scene.use()).startswith("one with ")
    load = await scene.stack.load(per_second=8, seconds=2)
    for generation in range(2, 5):
        await scene.stack.bots.want(bot_id, Desired.RUNNING, again=True)
        await scene.stack.observed(bot_id, partial(is_ready, generation), "READY again")

    sent = await scene.stack.all_answered(load)

    async def logged() -> bool:
        async with scene.stack.database.read() as connection:
            query = sa.select(sa.func.count()).select_from(command_logs).where(command_logs.c.outcome == "answered")
            return bool((await connection.execute(query)).scalar_one() == sent + 1)

    await until(logged, "what users did is written down")
    os.kill((await scene.stack.status(bot_id)).pid or 0, signal.SIGKILL)
    await scene.stack.observed(bot_id, partial(is_ready, 5), "READY after the kill")
    told = await scene.application()
    assert (told["identifies"], told["resumes"], told["answered_twice"]) == (1, 4, 0), told
    assert (await scene.use()).endswith("in 1"), "the cache went along"


async def test_other_intents_begin_a_new_session_and_new_code_of_an_app_comes_with_a_rollover(scene: Scene) -> None:
    scene.write("plain", PLAIN, version="one", intents="ALL_UNPRIVILEGED")
    bot_id = await scene.add("plain", app="plain:create_bot")
    await scene.stack.start_supervisor(FLOTILLA_ROLLOVER_WATCH_S="0.2")
    await scene.stack.all_ready(1)
    scene.write("plain", PLAIN, version="two", intents="GUILDS")
    assert (await rolled_over(scene)).phase is Phase.DONE
    await scene.stack.observed(bot_id, partial(is_ready, 2), "READY again")
    assert await scene.use() == "two with 1 in 1"
    told = await scene.application()
    assert (told["identifies"], told["resumes"]) == (2, 0)
    # From then on it is as before.
    await scene.stack.bots.want(bot_id, Desired.RUNNING, again=True)
    await scene.stack.observed(bot_id, partial(is_ready, 3), "READY again")
    assert (await scene.application())["identifies"] == 2


async def test_a_bot_that_its_module_makes_with_lightbulb_started_late_loses_nothing_over_restarts(
    scene: Scene,
) -> None:
    scene.write("module", MODULE_LEVEL)
    bot_id = await scene.add("module", app="module:bot")
    supervisor = await scene.stack.start_supervisor()
    await scene.stack.all_ready(1)
    assert "preload_failed" not in supervisor.text()
    load = await scene.stack.load(per_second=8, seconds=2)
    for generation in range(2, 5):
        await scene.stack.bots.want(bot_id, Desired.RUNNING, again=True)
        await scene.stack.observed(bot_id, partial(is_ready, generation), "READY again")

    await scene.stack.all_answered(load)
    assert (await scene.application("module"))["identifies"] == 1


BROKEN = {
    "two": (
        "import hikari\ndef create_bot():\n    hikari.GatewayBot('x')\n    return hikari.GatewayBot('y')\n",
        "makes a second hikari.GatewayBot",
    ),
    "runs": ("import hikari\ndef create_bot():\n    hikari.GatewayBot('x').run()\n", "The code calls bot.run()"),
    "raises": ("def create_bot():\n    raise ValueError('no shelf')\n", "ValueError: no shelf"),
    "exits": ("import sys\ndef create_bot():\n    sys.exit(3)\n", "ends the process (3)"),
    "nothing": ("def create_bot():\n    pass\n", "returns nothing, not a bot"),
    "wants": ("def create_bot(token, shards):\n    pass\n", "wants the arguments token, shards"),
    "later": ("async def create_bot():\n    pass\n", "is async"),
    "other": ("def create():\n    pass\n", "there are: create"),
    "missing": ("import no_such_module\n", "ModuleNotFoundError"),
    "variable": ("import os\nX = os.environ['SHOP_DB']\ndef create_bot(): pass\n", "environment variable SHOP_DB"),
    "stopped": ("import sys\nsys.exit(1)\n", "ends the process when it is imported"),
}


async def test_code_that_cannot_be_run_spends_no_session_and_harms_no_other_bot(scene: Scene) -> None:
    for name, (source, _) in BROKEN.items():
        scene.write(name, source)
    scene.write("hangs", "while True:\n    pass\n")
    scene.write("gone", "import os\ndef create_bot():\n    os._exit(5)\n")
    scene.write("special", EXTENSION)
    ids = {name: await scene.add(name, app=f"{name}:create_bot") for name in (*BROKEN, "hangs", "gone")}
    ids["nowhere"] = await scene.add("nowhere", app="no_such_package.bot:create_bot")
    ids["no-extension"] = await scene.add("no-extension", extensions=("json",))
    fine = await scene.add("fine", extensions=("special",))
    await scene.stack.start_supervisor()
    await scene.stack.observed(fine, lambda s: s.ready, "the other bot is READY")
    assert await scene.use("fine", "special") == "special"
    for name, (_, words) in BROKEN.items():
        await scene.failed(ids[name], words)
    await scene.failed(ids["nowhere"], "is not there: no module is named no_such_package")
    await scene.failed(ids["no-extension"], "json is no extension")
    await scene.stack.observed(ids["gone"], lambda s: s.reason == "crashed", "it ended")
    assert (await scene.stack.status(fine)).generation == 1
    for item in (await scene.stack.sandbox("GET", "/applications"))["items"]:
        assert item["identifies"] == (1 if item["name"] == "fine" else 0), item


async def test_one_bots_broken_extension_rejects_a_rollover_and_all_serve_on(scene: Scene) -> None:
    scene.write("special", EXTENSION)
    one, other = await scene.add("one", extensions=("special",)), await scene.add("other")
    await scene.stack.start_supervisor(FLOTILLA_ROLLOVER_WATCH_S="0.2")
    before = await scene.stack.all_ready(2)
    for source, words in {
        EXTENSION + "raise ValueError('no shelf')\n": "ValueError: no shelf",
        "import time\ntime.sleep(600)\n": 'special.py", line 2',
    }.items():
        scene.write("special", source)
        ended = await rolled_over(scene)
        assert (ended.phase, ended.moved) == (Phase.FAILED, 0)
        assert words in str(ended.details), ended
    assert await scene.use("one", "special") == "special"
    after = await scene.stack.statuses()
    assert {after[i].pid for i in (one, other)} == {before[i].pid for i in (one, other)}
    # Who may not run any more does not keep the others from new code.
    await scene.stack.bots.want(one, Desired.STOPPED)
    await scene.stack.observed(one, lambda s: s.pid is None, "it is stopped")
    assert (await rolled_over(scene)).phase is Phase.DONE
