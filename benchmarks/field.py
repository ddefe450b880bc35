"""The ground on which every contender competes: a home, a local Discord with an application per bot, and its view."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.stack import Stack

READY_TIMEOUT_S = 600.0
"""For a hundred cold processes on a busy machine of two cores."""

POLL_S = 0.005
MIN_LOOK_S = 0.02
LOOK_S_PER_BOT = 0.0005
"""A look at the whole fleet costs its Discord a few microseconds a bot, which the contenders should not feel."""


@dataclass(frozen=True, slots=True)
class Application:
    """A bot as the local Discord knows it."""

    name: str
    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Field:
    """A local Discord of its own for one contender. READY is what this Discord says, never what a contender says."""

    stack: Stack
    bots: tuple[Application, ...]
    client: aiohttp.ClientSession

    @property
    def home(self) -> Path:
        """A folder that is gone afterwards."""
        return self.stack.home

    @property
    def discord_url(self) -> str:
        """The REST base that bots are given."""
        return self.stack.environment["FLOTILLA_DISCORD_URL"]

    async def all_ready(self) -> None:
        """Wait until every bot has a session. Looks every 20 ms; at 100 bots every 50, at 500 every 250."""
        end = time.monotonic() + READY_TIMEOUT_S
        while await self.connected() < len(self.bots):
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.bots)} bots were not READY within {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(max(MIN_LOOK_S, LOOK_S_PER_BOT * len(self.bots)))

    async def connected(self) -> int:
        """Return how many bots have a session."""
        return sum(facts["sessions_connected"] > 0 for facts in await self.applications())

    async def begun_by_all(self) -> int:
        """Return how many sessions all bots together have begun or resumed."""
        return sum(_begun(facts) for facts in await self.applications())

    async def applications(self) -> list[dict[str, Any]]:
        """Return all that the local Discord counts, a dictionary for each bot."""
        items: list[dict[str, Any]] = (await self._get("/sandbox/applications"))["items"]
        return items

    async def invalid_requests(self) -> int:
        """Return how many invalid requests Discord holds against this host, of the last ten minutes."""
        return sum(address["invalid_requests"] for address in (await self._get("/sandbox/addresses"))["items"])

    async def use(self, bot: Application, command: str) -> None:
        """Let a user use a command of a bot; do not wait for an answer."""
        body = {"command": command, "wait_ms": 0}
        async with self.client.post(f"/sandbox/applications/{bot.id}/interactions", json=body) as answer:
            answer.raise_for_status()

    async def begun(self, bot: Application) -> int:
        """Return how many sessions a bot has begun or resumed."""
        return _begun(await self._application(bot))

    async def ready_again(self, bot: Application, begun: int) -> None:
        """Wait until a bot has begun or resumed more than `begun` sessions and has one. Looks every 5 ms."""
        end = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < end:
            facts = await self._application(bot)
            if _begun(facts) > begun and facts["sessions_connected"]:
                return
            await asyncio.sleep(POLL_S)
        raise TimeoutError(f"{bot.name} was not READY again within {READY_TIMEOUT_S:g} s")

    async def _application(self, bot: Application) -> dict[str, Any]:
        return await self._get(f"/sandbox/applications/{bot.id}")

    async def _get(self, path: str) -> dict[str, Any]:
        async with self.client.get(path) as answer:
            answer.raise_for_status()
            facts: dict[str, Any] = await answer.json()
            return facts


def _begun(facts: dict[str, Any]) -> int:
    return int(facts["identifies"] + facts["resumes"])


async def finished(ending: Coroutine[Any, Any, None]) -> None:
    """Run `ending` to its end even if this task is cancelled meanwhile; raise that afterwards.

    Without it a Ctrl-C in the middle of an ordinary end would leave processes behind.
    """
    task = asyncio.ensure_future(ending)
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            interrupted = cancelled
    if interrupted is not None:
        raise interrupted
    task.result()


@contextlib.asynccontextmanager
async def open_field(bots: int) -> AsyncIterator[Field]:
    """Yield a field with `bots` applications; end everything that was started on it."""
    with tempfile.TemporaryDirectory(prefix="flotilla-bench-") as folder:
        stack = await Stack.create(Path(folder))
        try:
            await stack.start_sandbox()
            async with aiohttp.ClientSession(stack.sandbox_url, headers=stack.control) as client:
                yield Field(stack, tuple([await _register(client, f"bot-{n}") for n in range(bots)]), client)
        finally:
            await finished(stack.close())


async def _register(client: aiohttp.ClientSession, name: str) -> Application:
    async with client.post("/sandbox/applications", json={"name": name}) as answer:
        answer.raise_for_status()
        facts = await answer.json()
        return Application(name, facts["id"], facts["token"])
