"""What a worker's bot does with its gateway session, against the sandbox; holds hikari's private names to it."""

import asyncio
import contextlib
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from flotilla.protocol import WorkerConfig, WorkerLimits
from tests.contract.sandbox.conftest import Sandbox
from worker_bot.bot import Bot
from worker_bot.pace import IdentifyPace
from worker_bot.seam import install
from worker_bot.session import Continuity
from worker_bot.session_file import Session, SessionFile, now_s

WAIT_S = 20.0


class Run:
    """One worker's bot without its process."""

    def __init__(self, sandbox: Sandbox, token: str, path: Path, version: int = 0) -> None:
        self.told: list[str] = []
        self.continuity = Continuity(path)
        core = ("worker_bot.extensions.core",)
        config = WorkerConfig(f"{sandbox.url}/api/v10", core, "INFO", WorkerLimits(), version=version)
        self.bot = Bot(token, config, on_ready=self._ready, on_lost=self._lost, continuity=self.continuity)
        self.task = asyncio.create_task(self.bot.run())

    async def tells(self, *told: str) -> None:
        """Wait until the bot has reported just this."""
        await self.until(lambda: self.told == list(told))

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            ended = self.task.exception() if self.task.done() and not self.task.cancelled() else None
            assert not self.task.done(), f"the bot ended after {self.told}: {ended!r}"
            assert time.monotonic() < deadline, f"the bot told {self.told}"
            await asyncio.sleep(0.005)

    async def _ready(self) -> None:
        self.told.append("resumed" if self.bot.resumed else "ready")

    async def _lost(self) -> None:
        self.told.append("lost")


@asynccontextmanager
async def running(sandbox: Sandbox, token: str, path: Path, version: int = 0) -> AsyncIterator[Run]:
    run = Run(sandbox, token, path, version)
    try:
        await run.until(lambda: bool(run.told))
        yield run
    finally:
        await run.bot.close()
        run.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run.task
        install(None)


async def ping(sandbox: Sandbox, application_id: str, wait_ms: int = 3000) -> str:
    body: dict[str, Any] = {"command": "ping", "wait_ms": wait_ms}
    outcome = await sandbox.control("POST", f"/applications/{application_id}/interactions", body)
    return str(outcome["status"])


async def test_reconnect_resumes_in_place_and_heals_a_deaf_session(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        deaf = {"kind": "deaf", "applications": [application_id], "heals_on": "resume"}
        status, _ = await sandbox.call("POST", "/sandbox/faults", deaf)
        assert status == 201
        assert await ping(sandbox, application_id, wait_ms=100) == "timed_out"
        await run.bot.reconnect(fresh=False)
        await run.tells("ready", "lost", "resumed")
        assert await ping(sandbox, application_id) == "answered"
        state = await sandbox.control("GET", f"/applications/{application_id}")
        assert (state["identifies"], state["resumes"], state["sessions_connected"]) == (1, 1, 1)


async def test_ready_is_told_before_the_presence_is_set(sandbox: Sandbox, tmp_path: Path) -> None:
    _, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session", version=1) as run:
        shown: list[list[str]] = []

        async def show(_: object) -> None:
            shown.append(list(run.told))

        run.bot.show = show  # type: ignore[method-assign, assignment]
        await run.bot.reconnect(fresh=False)
        await run.until(lambda: bool(shown))
        assert shown == [["ready", "lost", "resumed"]]


async def test_fresh_reconnect_begins_a_new_session_in_place(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        before = {session.id for session in sandbox.discord.sessions.of(application_id)}
        run.continuity._pace = IdentifyPace(interval_s=0)
        await run.bot.reconnect(fresh=True)
        await run.tells("ready", "lost", "ready")
        (connected,) = (s.id for s in sandbox.discord.sessions.of(application_id) if s.client is not None)
        assert connected not in before
        state = await sandbox.control("GET", f"/applications/{application_id}")
        assert (state["identifies"], state["resumes"]) == (2, 0)
        assert await ping(sandbox, application_id) == "answered"


async def test_events_handed_to_the_bot_are_counted_and_dated(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        events, at = run.continuity.events, run.continuity.last_event_at
        assert await ping(sandbox, application_id) == "answered"
        assert run.continuity.events > events
        assert run.continuity.last_event_at > at


async def test_guild_that_is_replayed_by_a_resume_is_not_lost(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        await sandbox.control("POST", f"/applications/{application_id}/close", {"code": 4000})
        await run.tells("ready", "lost")
        made = {"name": "New", "applications": [application_id]}
        assert (await sandbox.call("POST", "/sandbox/guilds", made))[0] in {200, 201}
        await run.tells("ready", "lost", "resumed")
        assert "New" in {guild.name for guild in run.bot._app.cache.get_guilds_view().values()}


class Amnesiac:
    """A gateway that answers every RESUME with 4007, for as long as one tries."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(deflated({"op": 10, "d": {"heartbeat_interval": 41250}}))
        async for message in socket:
            op = json.loads(message.data)["op"]
            if op in {2, 6}:
                self.asked.append(op)
                await socket.close(code=4007)
        return socket


def deflated(payload: dict[str, Any]) -> bytes:
    stream = zlib.compressobj()
    return stream.compress(json.dumps(payload).encode()) + stream.flush(zlib.Z_SYNC_FLUSH)


async def test_session_of_which_discord_knows_no_such_event_is_given_up_at_the_second_4007(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    _, token = await sandbox.application()
    amnesiac, application = Amnesiac(), web.Application()
    application.router.add_get("/", amnesiac.connect)
    async with TestServer(application) as server:
        url, me = f"ws://127.0.0.1:{server.port}", {"id": "42", "username": "bot"}
        SessionFile(tmp_path / "bot.session").keep(Session("lost", url, url, 42, me), 7, now_s())
        run = Run(sandbox, token, tmp_path / "bot.session")
        try:
            await run.until(lambda: amnesiac.asked == [6, 6, 2])
        finally:
            run.task.cancel()
            await run.bot.close()
            install(None)
    assert not Continuity(tmp_path / "bot.session").resumes
