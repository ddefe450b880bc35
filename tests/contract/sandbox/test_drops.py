"""How gateway connections end, as hikari knows it: pins the private names that `worker_bot.drops` goes by."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import hikari
import pytest
from hikari.impl.shard import _GatewayTransport

from sandbox.local_discord import Rules
from tests.contract.sandbox.conftest import Sandbox, serving
from tests.judges.tap import Tap
from tests.stack import until
from worker_bot import drops, seam

Told = list[tuple[int, int | None, str]]


@pytest.fixture
async def quick(tap: Tap | None) -> AsyncIterator[Sandbox]:
    """A sandbox whose heartbeats are soon missed."""
    async with serving(tap, Rules(identify_interval_s=0, heartbeat_interval_ms=400)) as sandbox:
        yield sandbox


@pytest.fixture
async def told(quick: Sandbox) -> AsyncIterator[Told]:
    """What was told of a bot that is up."""
    _, token = await quick.application()
    bot = hikari.GatewayBot(token, rest_url=f"{quick.url}/api/v10", banner=None, logs=None)
    told: Told = []
    drops.install(lambda *how: told.append(how))
    await bot.start(check_for_updates=False)
    yield told
    drops.install(None)
    if bot.is_alive:
        await bot.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "close", "code": 4000}, (0, 4000, "closed by Discord")),
        ({"kind": "reconnect"}, (0, None, "asked to reconnect")),
        ({"kind": "drop"}, (0, None, "connection lost")),
        ({"kind": "no_acks", "for_s": 2}, (0, None, "heartbeat not acknowledged")),
    ],
)
async def test_each_end_is_told_once_with_its_reason(
    quick: Sandbox, told: Told, fault: dict[str, Any], expected: tuple[int, int | None, str]
) -> None:
    await quick.call("POST", "/sandbox/faults", fault)
    await until(lambda: told, "the end is told", 20)
    assert told[0] == expected
    assert await until(lambda: resumed(quick), "it resumes", 20) == 1


async def resumed(quick: Sandbox) -> int:
    """Return how often the bot began a session, once it has resumed it and is connected."""
    [application] = (await quick.control("GET", "/applications"))["items"]
    return int(application["identifies"]) if application["resumes"] and application["sessions_connected"] else 0


async def test_an_end_of_the_bots_own_is_none(quick: Sandbox, told: Told) -> None:
    assert told == []


async def test_a_connection_is_closed_at_once_and_discord_hears_of_it(
    quick: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hikari waits a quarter of a second for TLS, which aiohttp does by itself since 3.12.6."""
    assert tuple(int(part) for part in aiohttp.__version__.split(".")[:3]) >= (3, 12, 6)
    assert _GatewayTransport.send_close is seam._close_at_once
    _, token = await quick.application()
    bot = hikari.GatewayBot(token, rest_url=f"{quick.url}/api/v10", banner=None, logs=None)
    await bot.start(check_for_updates=False)
    slept, sleep = list[float](), asyncio.sleep

    async def counted(seconds: float, *result: Any) -> Any:
        slept.append(seconds)
        return await sleep(seconds, *result)

    monkeypatch.setattr(asyncio, "sleep", counted)
    await bot.close()
    assert not [seconds for seconds in slept if 0 < seconds < 1]
    monkeypatch.undo()
    [application] = (await quick.control("GET", "/applications"))["items"]
    assert (application["identifies"], application["sessions_connected"]) == (1, 0)
