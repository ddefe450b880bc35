"""What hikari by itself does to a gateway connection under strain, and what a worker of ours does: one test for each.

Where a test for hikari alone fails, a release of hikari does otherwise, and the part of `worker_bot` that its twin is
about may have become needless, or wrong.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hikari
import pytest
from aiohttp import web
from hikari.impl import shard as hikaris_shard
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.shard import GatewayShardImpl, _GatewayTransport

from tests.contract.sandbox.conftest import Sandbox
from tests.stack import until
from worker_bot import hello, listeners, outbound, seam
from worker_bot.pace import IdentifyPace
from worker_bot.session import Continuity
from worker_bot.stubs import DRY_TOKEN, StubDiscord

IDENTIFY, RESUME = 2, 6
ENOUGH = 5
"""Handshakes after which it is clear that it goes on like this."""

A_MOMENT_S = 0.5
"""For what must not happen: long enough that it would."""


@dataclass
class World:
    """Bots on a local Discord, as hikari runs them by itself or as a worker does."""

    sandbox: Sandbox
    ours: bool
    path: Path
    application_id: str = ""
    started: list[hikari.GatewayBot] = field(default_factory=list)
    continuity: Continuity = field(default_factory=Continuity)

    async def make(self) -> hikari.GatewayBot:
        """Return a bot of a new application that is not started yet."""
        self.application_id, token = await self.sandbox.application()
        return self.bot(f"{self.sandbox.url}/api/v10", token)

    def bot(self, url: str, token: str) -> hikari.GatewayBot:
        """Return a bot that is not started yet."""
        self.continuity = Continuity(self.path)
        seam.install(self.continuity if self.ours else None)
        bot = hikari.GatewayBot(token, rest_url=url, banner=None, logs=None, suppress_optimization_warning=True)
        self.started.append(bot)
        return bot

    def hurry(self) -> None:
        """Let the next IDENTIFY follow at once, once Discord has said how many may."""
        self.continuity._pace = IdentifyPace(interval_s=0)

    async def strike(self, kind: str, **more: Any) -> None:
        """Let a fault happen to the bot."""
        body = {"kind": kind, "applications": [self.application_id], **more}
        status, answer = await self.sandbox.call("POST", "/sandbox/faults", body)
        assert status == 201, answer

    async def state(self) -> Any:
        """Return how Discord sees the application."""
        return await self.sandbox.control("GET", f"/applications/{self.application_id}")

    async def is_up(self) -> bool:
        """Return whether the bot has resumed and is connected."""
        state = await self.state()
        return bool(state["resumes"] and state["sessions_connected"])


@pytest.fixture(params=["hikari alone", "ours"])
async def worlds(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(hikaris_shard, "_BACKOFF_WINDOW", 0.0)  # it waits before a second connection within 30 s
    monkeypatch.setattr(listeners, "LISTENERS_S", 0.2)
    ours = request.param == "ours"
    if not ours:
        monkeypatch.setattr(EventManagerBase, "dispatch", listeners.dispatch_as_hikari)
        monkeypatch.setattr(EventManagerBase, "subscribe", listeners.subscribe_as_hikari)
        monkeypatch.setattr(GatewayShardImpl, "_send_json", outbound.send_as_hikari)
        monkeypatch.setattr(_GatewayTransport, "connect", hello.connect_as_hikari)
        monkeypatch.setattr(_GatewayTransport, "receive_json", hello.receive_as_hikari)
    world = World(sandbox, ours, tmp_path / "bot.session")
    yield world
    for bot in world.started:
        if bot.is_alive:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(bot.close(), 2)
    seam.install(None)


async def use_up(shard: hikari.api.GatewayShard) -> None:
    """Send all that may be sent within a minute."""
    limiter = shard._non_priority_rate_limit  # type: ignore[attr-defined]
    while not limiter.is_rate_limited(time.time()):
        await shard.update_presence(afk=False)


async def for_ever(_: hikari.Event) -> None:
    await asyncio.get_running_loop().create_future()


# The limit of sends --------------------------------------------------------------------------------------------------


async def test_resume_waits_for_the_limit_of_the_connection_before(worlds: World) -> None:
    bot = await worlds.make()
    await bot.start(check_for_updates=False)
    shard: Any = bot.shards[0]
    await use_up(shard)
    await worlds.strike("drop")
    if worlds.ours:
        await until(worlds.is_up, "it has resumed", 20)
    else:
        await until(lambda: shard._non_priority_rate_limit.queue, "RESUME waits")
        assert (await worlds.state())["resumes"] == 0
        assert shard._non_priority_rate_limit.get_time_until_increase(time.time()) > 30


async def test_who_waits_to_send_is_cancelled_at_a_reconnect(worlds: World) -> None:
    bot = await worlds.make()
    await bot.start(check_for_updates=False)
    shard: Any = bot.shards[0]
    await use_up(shard)
    waiting = asyncio.create_task(bot.update_presence(activity=hikari.Activity(name="chess")))
    await until(lambda: shard._non_priority_rate_limit.queue, "it waits")
    await worlds.strike("drop")
    await asyncio.wait({waiting}, timeout=20)
    assert waiting.done()
    assert waiting.cancelled() is not worlds.ours
    if worlds.ours:
        assert waiting.exception() is None
        await until(lambda: _shows(worlds, "chess"), "Discord shows it")


async def _shows(world: World, name: str) -> bool:
    (session,) = (await world.state())["sessions"]
    presence = session["presence"] or {}
    return ((presence.get("activities") or [presence.get("game")])[0] or {}).get("name") == name


async def test_a_waiter_that_gives_up_ends_all_sending(worlds: World) -> None:
    bot = await worlds.make()
    await bot.start(check_for_updates=False)
    shard: Any = bot.shards[0]
    limiter = shard._non_priority_rate_limit
    await use_up(shard)
    limiter.move_at = time.time() + A_MOMENT_S  # the minute is nearly over
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bot.update_presence(afk=True), 0.05)
    later = asyncio.create_task(bot.update_presence(afk=True))
    await asyncio.wait({later}, timeout=A_MOMENT_S * (20 if worlds.ours else 3))
    assert later.done() is worlds.ours
    if not worlds.ours:
        assert isinstance(limiter.throttle_task.exception(), asyncio.InvalidStateError)
        later.cancel()


# Listeners -----------------------------------------------------------------------------------------------------------


async def test_a_listener_of_the_start_that_runs_on_hides_a_shard_that_was_closed_for_good(
    worlds: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = await worlds.make()
    bot.subscribe(hikari.StartedEvent, for_ever)
    starting = asyncio.create_task(bot.start(check_for_updates=False))
    await until(lambda: bot.shards and bot.shards[0].is_connected, "it is connected")
    shard: Any = bot.shards[0]
    await worlds.strike("token_reset")
    await until(shard._keep_alive_task.done, "the shard was closed for good")
    await asyncio.wait({starting}, timeout=20 if worlds.ours else A_MOMENT_S)
    assert starting.done() is worlds.ours
    if worlds.ours:
        with pytest.raises(hikari.GatewayServerClosedConnectionError, match="4004"):
            await bot.join()
        assert "without what still handles StartedEvent: [\"handler 'for_ever'\"]" in caplog.text
    starting.cancel()


@pytest.mark.parametrize("event", [hikari.ShardDisconnectedEvent, hikari.ShardConnectedEvent])
async def test_a_listener_of_a_connection_holds_the_reconnect(worlds: World, event: type[hikari.Event]) -> None:
    bot = await worlds.make()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def listener(_: hikari.Event) -> None:
        entered.set()
        await leave.wait()

    bot.subscribe(event, listener)
    await bot.start(check_for_updates=False)
    await worlds.strike("drop")
    await asyncio.wait_for(entered.wait(), 20)
    if not worlds.ours:
        await asyncio.sleep(A_MOMENT_S)
        assert (await worlds.state())["resumes"] == 0
        leave.set()
    await until(worlds.is_up, "it has resumed", 20)


async def test_a_listener_that_is_cancelled_ends_the_shard_without_a_word(worlds: World) -> None:
    bot = await worlds.make()

    async def listener(_: hikari.ShardConnectedEvent) -> None:
        raise asyncio.CancelledError  # as of a request that was cancelled

    bot.subscribe(hikari.ShardConnectedEvent, listener)
    await bot.start(check_for_updates=False)
    shard: Any = bot.shards[0]
    if worlds.ours:
        await worlds.strike("drop")
        await until(worlds.is_up, "it has resumed", 20)
    else:
        await until(shard._keep_alive_task.done, "the shard has ended")
        assert shard._keep_alive_task.exception() is None


@pytest.mark.parametrize("heard", [hikari.ExceptionEvent, hikari.Event])
async def test_a_listener_of_errors_takes_hikaris_log_of_them_away(
    worlds: World, heard: type[hikari.Event], caplog: pytest.LogCaptureFixture
) -> None:
    bot = await worlds.make()
    seen: list[hikari.Event] = []

    async def fails(_: hikari.StartedEvent) -> None:
        raise LookupError("shelf")

    async def hears(event: hikari.Event) -> None:
        seen.append(event)

    bot.subscribe(heard, hears)
    bot.subscribe(hikari.StartedEvent, fails)
    with caplog.at_level(logging.INFO):
        await bot.start(check_for_updates=False)
        await until(lambda: any(isinstance(event, hikari.ExceptionEvent) for event in seen), "the error is heard")
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [str(record.exc_info and record.exc_info[1]) for record in logged] == (["shelf"] if worlds.ours else [])


class Listener:
    """An object that can be called, as frameworks make them."""

    def __init__(self) -> None:
        self.heard: list[hikari.Event] = []

    async def __call__(self, event: hikari.Event) -> None:
        self.heard.append(event)


def _partial(listener: Listener) -> Callable[[Any], Awaitable[None]]:
    async def hears(kept: Listener, event: hikari.Event) -> None:
        await kept(event)

    return functools.partial(hears, listener)


def _object(listener: Listener) -> Callable[[Any], Awaitable[None]]:
    return listener


@pytest.mark.filterwarnings("ignore:coroutine .*_invoke_.*:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*coroutine object.*_invoke_.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [_partial, _object])
async def test_a_listener_without_a_name_breaks_its_event(
    worlds: World, kind: Callable[[Listener], Callable[[Any], Any]]
) -> None:
    bot = await worlds.make()
    nameless, other = Listener(), Listener()

    async def named(event: hikari.Event) -> None:
        await other(event)

    callback = kind(nameless)
    bot.subscribe(hikari.StartedEvent, callback)
    bot.subscribe(hikari.StartedEvent, named)
    if worlds.ours:
        await bot.start(check_for_updates=False)
        assert (len(nameless.heard), len(other.heard)) == (1, 1)
        bot.unsubscribe(hikari.StartedEvent, callback)
        assert bot.get_listeners(hikari.StartedEvent, polymorphic=False) == [named]
    else:
        with pytest.raises(AttributeError, match="__name__"):
            await bot.start(check_for_updates=False)
        assert other.heard == []


async def test_what_is_no_coroutine_is_refused_as_hikari_does(worlds: World) -> None:
    bot = await worlds.make()
    with pytest.raises(TypeError, match="non-coroutine"):
        bot.subscribe(hikari.StartedEvent, functools.partial(print, "x"))  # type: ignore[arg-type]


# Sessions ------------------------------------------------------------------------------------------------------------


class Forgetful(StubDiscord):
    """A Discord whose first session times out at once, and which says the same to each RESUME."""

    def __init__(self, code: int) -> None:
        self.asked: list[int] = []
        self._code = code
        super().__init__()

    def _answers(self, operation: int) -> list[dict[str, Any]]:
        return super()._answers(operation)[:1]

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        send = self._sender(socket)
        await send({"op": 10, "d": {"heartbeat_interval": 41250}})
        async for message in socket:
            operation = message.json()["op"]
            if operation in {IDENTIFY, RESUME}:
                self.asked.append(operation)
            for answer in () if operation == RESUME else self._answers(operation):
                await send(answer)
            if len(self.asked) < ENOUGH and (operation == RESUME or self.asked == [IDENTIFY]):
                await socket.close(code=self._code)
        return socket


@pytest.mark.parametrize("code", [4007, 4009])
async def test_a_session_that_is_gone_is_resumed_again_and_again(worlds: World, code: int) -> None:
    discord = Forgetful(code)
    bot = worlds.bot(f"{await discord.start()}/api/v10", DRY_TOKEN)
    starting = asyncio.create_task(bot.start(check_for_updates=False))
    try:
        await until(lambda: discord.asked, "it began a session")
        worlds.hurry()
        await until(
            lambda: discord.asked.count(IDENTIFY) == 2 or len(discord.asked) == ENOUGH, "it has tried again", 30
        )
        expected = [IDENTIFY, RESUME, RESUME, RESUME, RESUME]
        if worlds.ours:
            expected = [IDENTIFY, IDENTIFY] if code == 4009 else [IDENTIFY, RESUME, IDENTIFY]
        assert discord.asked == expected
    finally:
        starting.cancel()
        await asyncio.wait({starting})
        await bot.close()
        await discord.stop()


class Mute(StubDiscord):
    """A Discord that takes a connection and never says a word on it, but on each later one."""

    def __init__(self) -> None:
        self.connections = 0
        super().__init__()

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        if self.connections > 1:
            return await super()._gateway(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket


async def test_a_gateway_that_says_no_word_is_waited_for(worlds: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hello, "HELLO_S", 0.2)
    discord = Mute()
    bot = worlds.bot(f"{await discord.start()}/api/v10", DRY_TOKEN)
    starting = asyncio.create_task(bot.start(check_for_updates=False))
    try:
        await asyncio.wait({starting}, timeout=20 if worlds.ours else A_MOMENT_S)
        assert (starting.done(), discord.connections) == ((True, 2) if worlds.ours else (False, 1))
    finally:
        await ended(starting)
        await bot.close()
        await discord.stop()


async def ended(task: asyncio.Task[None]) -> None:
    """End a start, and the connection that it is at."""
    tasks = [task, *(each for each in asyncio.all_tasks() if each.get_name().startswith("keep alive"))]
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)


async def test_a_guild_that_was_left_meanwhile_stays_in_the_cache(worlds: World) -> None:
    bot = await worlds.make()
    left: list[hikari.GuildLeaveEvent] = []

    async def leaves(event: hikari.GuildLeaveEvent) -> None:
        left.append(event)

    bot.subscribe(hikari.GuildLeaveEvent, leaves)
    await bot.start(check_for_updates=False)
    made = await worlds.sandbox.call(
        "POST", "/sandbox/guilds", {"name": "Gone", "applications": [worlds.application_id]}
    )
    assert made[0] in {200, 201}
    await until(lambda: len(bot.cache.get_guilds_view()) == 2, "both guilds are known")
    gone = next(guild for guild in bot.cache.get_guilds_view().values() if guild.name == "Gone")
    worlds.hurry()
    await worlds.strike("deaf")
    await worlds.sandbox.call("DELETE", f"/sandbox/guilds/{gone.id}/members/{worlds.application_id}")
    await worlds.strike("refuse_resume")
    await worlds.strike("drop")

    async def is_anew() -> bool:
        state = await worlds.state()
        return bool(state["identifies"] == 2 and state["sessions_connected"] and bot.shards[0].is_connected)

    await until(is_anew, "a new session began", 30)
    if worlds.ours:
        await until(lambda: left, "it is told")
        (event,) = left
        assert (event.guild_id, event.old_guild and event.old_guild.name) == (gone.id, "Gone")
        assert gone.id not in bot.cache.get_guilds_view()
    else:
        assert gone.id in bot.cache.get_guilds_view()
        assert left == []
