"""Load on demand: many users use commands, and the sandbox counts what came of it."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from sandbox import acting
from sandbox.load.load import Load, Plan, State, Target
from tests.contract.sandbox.conftest import Sandbox
from tests.contract.sandbox.test_acts import Bot, bot

__all__ = ["bot"]


async def answering(bot: Bot, body: dict[str, Any]) -> None:
    with suppress(TimeoutError):
        while True:
            await bot.answer(body)


async def until_over(sandbox: Sandbox, load_id: int) -> Any:
    async with asyncio.timeout(10):
        while True:
            load = await sandbox.control("GET", f"/load/{load_id}")
            if load["state"] != "running" and not load["pending"]:
                return load
            await asyncio.sleep(0.02)


async def start(sandbox: Sandbox, **body: Any) -> Any:
    status, load = await sandbox.call("POST", "/sandbox/load", body)
    assert status == 201, load
    return load


async def test_load_counts_the_answers_and_their_times(bot: Bot) -> None:
    task = asyncio.create_task(answering(bot, {"type": 4, "data": {"content": "pong", "flags": 64}}))
    load = await start(bot.sandbox, command="ping", users=5, per_second=20, seconds=0.5, seed=7)
    assert (load["total"], load["seed"], load["applications"]) == (50, 7, 1)
    over = await until_over(bot.sandbox, load["id"])
    task.cancel()
    assert (over["state"], over["sent"], over["answered"], over["timed_out"]) == ("done", 50, 50, 0)
    assert 0 < over["elapsed_ms"]["p50"] <= over["elapsed_ms"]["p95"] <= over["elapsed_ms"]["max"]
    assert (await bot.sandbox.control("GET", "/load"))["items"] == [over]


async def test_load_that_is_stopped_sends_no_more(bot: Bot) -> None:
    task = asyncio.create_task(answering(bot, {"type": 5}))
    load = await start(bot.sandbox, command="ping", users=1, per_second=50, seconds=100)
    status, stopped = await bot.sandbox.call("DELETE", f"/sandbox/load/{load['id']}")
    assert (status, stopped["state"]) == (200, "stopped")
    over = await until_over(bot.sandbox, load["id"])
    task.cancel()
    assert over["sent"] == stopped["sent"] == over["deferred"]


async def test_load_on_bots_that_are_not_connected_says_so(sandbox: Sandbox) -> None:
    status, error = await sandbox.call("POST", "/sandbox/load", {"command": "ping"})
    assert (status, error["error"]["code"]) == (409, "nobody_connected")
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    load = await start(sandbox, command="ping", users=1, per_second=100, seconds=0.1, applications=[application_id])
    over = await until_over(sandbox, load["id"])
    assert (over["not_connected"], over["elapsed_ms"]) == (10, None)


async def test_load_stops_when_its_command_is_gone(bot: Bot) -> None:
    load = await start(bot.sandbox, command="ping", users=1, per_second=50, seconds=60)
    await bot.sandbox.rest("PUT", f"/applications/{bot.id}/commands", bot.token, [])
    async with asyncio.timeout(5):
        while load["state"] == "running":
            await asyncio.sleep(0.02)
            load = await bot.sandbox.control("GET", f"/load/{load['id']}")
    assert load["state"] == "stopped"
    assert "no such command 'ping'" in load["reason"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"command": "ping", "users": 0}, 422, "invalid_load"),
        ({"command": "ping", "users": 1000, "per_second": 1000, "seconds": 60}, 422, "invalid_load"),
        ({"command": "nothing"}, 404, "unknown_command"),
        ({"command": "ping", "applications": ["1"]}, 404, "unknown_application"),
        ({}, 422, "invalid_body"),
    ],
)
async def test_load_that_cannot_be_says_why(bot: Bot, body: dict[str, Any], status: int, code: str) -> None:
    got, answer = await bot.sandbox.call("POST", "/sandbox/load", body)
    assert (got, answer["error"]["code"]) == (status, code)
    for method in ("GET", "DELETE"):
        assert (await bot.sandbox.call(method, "/sandbox/load/9"))[0] == 404


async def test_too_many_loads_at_once_are_refused(bot: Bot) -> None:
    for _ in range(4):
        await start(bot.sandbox, command="ping", users=1, per_second=0.1, seconds=60)
    got, answer = await bot.sandbox.call("POST", "/sandbox/load", {"command": "ping"})
    assert (got, answer["error"]["code"]) == (409, "too_many_loads")


async def test_unanswered_command_of_a_load_times_out_after_three_seconds(bot: Bot) -> None:
    discord = bot.sandbox.discord
    application = discord.world.find(bot.id)
    assert application is not None
    place = acting.place_of(discord, discord.world.channels[application.home_channel_id])
    target = Target(application, place, [application.owner])
    load = Load(1, Plan("ping", {}, 1, 1.0, 1.0, 7), discord, [target], 0.0)
    now = discord.clock()
    load.began_at = now
    assert load.step(now)
    assert load.step(now + 2.9)
    discord.clock.advance(3.1)
    assert not load.step(discord.clock())
    assert (load.state, load.counts["timed_out"]) == (State.DONE, 1)
