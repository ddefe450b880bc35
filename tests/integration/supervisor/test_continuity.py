"""What the next worker goes on with beside its session: the cache, and all shards of a bot that has several."""

import os
import signal
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from flotilla.botlog import log_file
from flotilla.domain.bots import BotStatus, Desired
from tests.stack import Stack, until

KNOWING = "worker_bot.extensions.core,tests.extensions.knowing"


async def application(stack: Stack) -> dict[str, Any]:
    (item,) = (await stack.sandbox("GET", "/applications"))["items"]
    return dict(item)


async def known(stack: Stack) -> str:
    """Return what the bot's cache knows, as the bot itself tells it."""
    path = f"/applications/{(await application(stack))['id']}/interactions"
    outcome = await stack.sandbox("POST", path, command="know")
    assert outcome["status"] == "answered", outcome
    return str(outcome["message"]["content"])


async def next_ready(stack: Stack, before: BotStatus) -> BotStatus:
    wanted = before.generation + 1
    return await stack.observed(before.bot_id, lambda s: s.generation == wanted and s.ready, "the bot is READY again")


async def restarted(stack: Stack, before: BotStatus) -> BotStatus:
    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    return await next_ready(stack, before)


async def killed(stack: Stack, before: BotStatus) -> BotStatus:
    os.kill(before.pid or 0, signal.SIGKILL)
    return await next_ready(stack, before)


async def test_every_successor_knows_the_guilds_as_they_are(stack: Stack) -> None:
    """After hand-overs and SIGKILLs, and whether a guild changed before, or while no worker was there."""
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(FLOTILLA_EXTENSIONS=KNOWING)
    status = (await stack.all_ready(1))[bot_id]
    guild = (await application(stack))["guild_id"]
    first = await known(stack)
    assert "general" in first

    await stack.sandbox("POST", f"/guilds/{guild}/channels", name="news")
    status = await restarted(stack, status)
    told = await known(stack)
    assert told == first.replace("'general'", "'general', 'news'")

    await stack.sandbox("POST", f"/guilds/{guild}/roles", name="staff")
    assert "staff" in await known(stack)
    status = await killed(stack, status)
    assert "staff" in await known(stack)

    os.kill(status.pid or 0, signal.SIGKILL)
    await stack.sandbox("POST", f"/guilds/{guild}/channels", name="later")
    await stack.sandbox("PATCH", f"/guilds/{guild}", name="Renamed")
    status = await next_ready(stack, status)
    told = await known(stack)
    assert all(name in told for name in ("Renamed", "general", "later", "news", "staff"))
    state = await application(stack)
    assert (state["identifies"], state["resumes"]) == (1, 3)
    handed = Counter(log_file(stack.settings.log_dir, "bot-0").read_text().splitlines())
    assert (handed["handed news"], handed["handed later"]) == (1, 1)


async def test_bot_of_several_shards_resumes_each_of_them(stack: Stack) -> None:
    made = await stack.sandbox("POST", "/applications", name="large")
    gateway = f"/applications/{made['id']}/gateway"
    await stack.sandbox("POST", gateway, shards=3, max_concurrency=16)
    await stack.sandbox("POST", "/guilds", name="Shop", applications=[made["id"]], count=8)
    bot_id = await stack.add_bot("large", token=made["token"])
    supervisor = await stack.start_supervisor(FLOTILLA_EXTENSIONS=KNOWING)
    status = (await stack.all_ready(1))[bot_id]
    first = await known(stack)
    assert first.count("Shop") == 8
    await stack.sandbox("POST", gateway, shards=5)

    status = await restarted(stack, status)
    assert await known(stack) == first
    status = await killed(stack, status)
    assert await known(stack) == first
    state = await application(stack)
    assert (state["identifies"], state["resumes"], state["sessions_connected"]) == (3, 6, 3)
    told = [line.split()[-1] for line in supervisor.text().splitlines() if "worker.session" in line]
    assert told == ["resumed=False", "resumed=True", "resumed=True"]

    stack.settings.session_file(bot_id).with_name("gateway.session.1of3").write_bytes(b"damaged")
    status = await killed(stack, status)
    state = await application(stack)
    assert (state["identifies"], state["resumes"], state["sessions_connected"]) == (4, 8, 3)
    await until(lambda: _all_known(stack, first), "the shard that began anew knows its guilds")

    await stack.bots.remove(bot_id, datetime.now(UTC))
    await until(lambda: not list(stack.settings.session_dir.iterdir()), "nothing is left of a bot that was removed")


async def _all_known(stack: Stack, first: str) -> bool:
    return await known(stack) == first
