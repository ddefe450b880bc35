"""What workers count and what Discord does to them, through real processes to where operators read it."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.domain.happenings import Source
from flotilla.domain.metrics import BotMetrics, FleetMetrics, plus
from flotilla.live_metrics import ValkeyMetricsReader
from tests.services import Valkey
from tests.stack import Stack, until

SLOTS = (0,)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(
        tmp_path, poll_interval_s="0.1", liveness_timeout_s="1", stop_grace_s="3", metrics_interval_s="0.5"
    )
    valkey = Valkey(stack.settings.valkey_socket)
    valkey.start()
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()
        valkey.kill()


@pytest.fixture
async def reader(stack: Stack) -> AsyncIterator[ValkeyMetricsReader]:
    reader = ValkeyMetricsReader(stack.settings.effective_redis_url)
    yield reader
    await reader.close()


async def told(stack: Stack, bot_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what Discord did to a bot, oldest first."""
    page = await SqlHappenings(stack.database).page(HappeningFilter(bot_id, source=Source.DISCORD), 200, None)
    return [(view.happening.code, view.happening.detail) for view in reversed(page.items)]


async def hear(stack: Stack, bot_id: str, code: str, count: int = 1) -> dict[str, Any]:
    """Wait until something was told so often; return the details of the last."""

    async def heard() -> dict[str, Any] | None:
        found = [detail for what, detail in await told(stack, bot_id) if what == code]
        return found[-1] if len(found) == count else None

    found: dict[str, Any] = await until(heard, f"{code} is told {count} times")
    return found


async def ping(stack: Stack, application_id: str) -> None:
    path = f"/applications/{application_id}/interactions"
    assert (await stack.sandbox("POST", path, command="ping"))["status"] == "answered"


async def counted(reader: ValkeyMetricsReader, bot_id: str, pings: int) -> BotMetrics:
    async def look() -> BotMetrics | None:
        row = await reader.bot(SLOTS, bot_id)
        total = {} if row is None else plus(row.before, row.last).commands
        return row if total.get("command answered") == pings else None

    found: BotMetrics = await until(look, f"{pings} pings are counted")
    return found


async def fleet(reader: ValkeyMetricsReader) -> FleetMetrics:
    [found] = await reader.fleets(SLOTS) or []
    return found


async def test_counts_survive_restarts_of_workers_and_of_the_supervisor(
    stack: Stack, reader: ValkeyMetricsReader
) -> None:
    bot_id = await stack.add_bot("bot-0")
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    [application] = (await stack.sandbox("GET", "/applications"))["items"]
    await ping(stack, application["id"])
    row = await counted(reader, bot_id, 1)
    assert (row.last.events["INTERACTION_CREATE"], row.last.events["READY"]) == (1, 1)
    assert row.last.first["command"].count == row.last.total["command"].count == 1
    assert row.last.rest["2xx"] >= 2
    assert row.last.lag.count >= 1
    assert row.cache["guilds"] == 1
    assert (await fleet(reader)).guilds == {bot_id: 1}

    await stack.bots.restart(bot_id)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is renewed")
    await ping(stack, application["id"])
    row = await counted(reader, bot_id, 2)
    assert (row.generation, row.last.commands) == (2, {"command answered": 1})

    await supervisor.end(signal.SIGKILL)
    await ping(stack, application["id"])
    await stack.start_supervisor()
    row = await counted(reader, bot_id, 3)
    counts = (await fleet(reader)).counts
    assert counts.commands == {"command answered": 3}
    assert counts.first["command"].count == 3
    assert "IDENTIFY" not in str(await told(stack, bot_id))


async def test_what_discord_does_to_a_bot_is_told_once(stack: Stack) -> None:
    bot_id = await stack.add_bot("bot-0")
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    assert await hear(stack, bot_id, "session_began") == {"shard": 0, "guilds": 1}
    [application] = (await stack.sandbox("GET", "/applications"))["items"]
    made = await stack.sandbox("POST", "/guilds", name="New", applications=[application["id"]], members=3)
    [guild] = made["items"]
    where = {"guild_id": guild["id"], "guild": "New"}
    joined = await hear(stack, bot_id, "guild_joined")
    assert joined == where | {"members": guild["members"], "while_away": False}

    roles = (await stack.sandbox("GET", f"/guilds/{guild['id']}"))["roles"]
    own, everyone = (next(role for role in roles if (role["id"] == guild["id"]) is said) for said in (False, True))
    await stack.sandbox("PATCH", f"/guilds/{guild['id']}/roles/{everyone['id']}", permissions=0)
    await stack.sandbox("PATCH", f"/guilds/{guild['id']}/roles/{own['id']}", permissions=1 << 10 | 1 << 11)
    lost = await hear(stack, bot_id, "permissions_lost")
    assert lost | where == lost
    assert "EMBED_LINKS" in lost["lost"]
    assert "SEND_MESSAGES" not in lost["lost"]

    channel = guild["channels"][0]
    overwrite = {"id": own["id"], "allow": "0", "deny": str(1 << 11)}
    await stack.sandbox("PATCH", f"/channels/{channel['id']}", overwrites=[overwrite])
    lost = await hear(stack, bot_id, "permissions_lost", 2)
    assert lost == where | {"channel_id": channel["id"], "channel": channel["name"], "lost": ["SEND_MESSAGES"]}

    await stack.bots.restart(bot_id)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is renewed")
    await hear(stack, bot_id, "session_resumed")
    await stack.sandbox("DELETE", f"/guilds/{guild['id']}")
    assert await hear(stack, bot_id, "guild_left") == where | {"while_away": False}

    await stack.sandbox("POST", "/faults", kind="close", code=4000, applications=[application["id"]])
    assert (await hear(stack, bot_id, "disconnected"))["close_code"] == 4000
    await hear(stack, bot_id, "session_resumed", 2)

    await supervisor.end(signal.SIGINT)
    again = await stack.sandbox("POST", "/guilds", name="Again", applications=[application["id"]])
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.ready, "the bot is back")
    found = await hear(stack, bot_id, "guild_joined", 2)
    assert (found["guild_id"], found["while_away"]) == (again["items"][0]["id"], True)
    codes = [code for code, _ in await told(stack, bot_id)]
    assert codes.count("session_began") == 2
    assert codes.count("guild_left") == 1
