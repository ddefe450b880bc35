"""New code reaches the bots: a new fork server beside the old one, a canary, waves, and the way back."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.rollovers import SqlRollovers
from flotilla.db.tables import happenings
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus
from tests.stack import Program, Stack, alive, until

SAYS = """
import lightbulb
loader = lightbulb.Loader()

@loader.command
class Version(lightbulb.SlashCommand, name="version", description="Which code runs."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("{version}")
"""
CRASHES_SOON = (
    SAYS
    + """
import asyncio, os
import hikari

@loader.listener(hikari.ShardResumedEvent)
async def crash(_event: hikari.ShardResumedEvent) -> None:
    await asyncio.sleep(0.1)
    os._exit(7)
"""
)
BROKEN = "def broken(:\n"
HANGS = "import time\ntime.sleep(600)\n"


@dataclass
class Scene:
    """Three bots whose code lies in a folder that is not installed, and a supervisor."""

    stack: Stack
    code: Path
    supervisor: Program

    def write(self, source: str, **facts: str) -> None:
        """Change the code of all bots."""
        self.code.write_text(source.replace("{version}", facts.get("version", "?")))

    async def ask(self) -> str:
        """Ask for a roll-over, as the API does; return its id."""
        asked = RolloverRequest(str(ULID()), "a test", datetime.now(UTC))
        await SqlRollovers(self.stack.database).request(asked)
        return asked.id

    async def at(self, rollover_id: str, *phases: Phase) -> RolloverStatus:
        """Wait until a roll-over is in one of `phases`."""

        async def look() -> RolloverStatus | None:
            status = (await SqlRollovers(self.stack.database).get(rollover_id)).status
            return status if status.phase in phases else None

        found: RolloverStatus = await until(look, f"the roll-over is {phases}")
        return found

    async def happenings(self) -> Sequence[sa.Row[Any]]:
        """Return what was told of roll-overs."""
        query = sa.select(happenings).where(happenings.c.code == "rollover_failed")
        async with self.stack.database.read() as connection:
            return (await connection.execute(query)).all()

    async def end(self, rollover_id: str) -> RolloverStatus:
        """Wait until a roll-over has ended."""
        return await self.at(rollover_id, *FINISHED)

    async def applications(self) -> list[dict[str, Any]]:
        """Return what the sandbox tells of every bot, in the order of names."""
        items = (await self.stack.sandbox("GET", "/applications"))["items"]
        return sorted(map(dict, items), key=lambda item: str(item["name"]))

    async def versions(self) -> list[str]:
        """Have every bot say which code it runs."""
        answers = [
            await self.stack.sandbox("POST", f"/applications/{item['id']}/interactions", command="version")
            for item in await self.applications()
        ]
        return [str(answer["response"]["data"]["content"]) for answer in answers]

    async def servers(self) -> set[int | None]:
        """Return the numbers of the fork servers that made the bots' processes."""
        return {status.fork_server for status in (await self.stack.statuses()).values()}

    def fork_servers(self) -> list[int]:
        """Return the pids of the fork servers that were started."""
        lines = [line for line in self.supervisor.text().splitlines() if "forkserver.started" in line]
        return [int(line.partition("pid=")[2].split()[0]) for line in lines]


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    code = tmp_path / "code"
    code.mkdir()
    stack = await Stack.create(
        tmp_path / "h",
        poll_interval_s="0.1",
        stop_grace_s="3",
        startup_timeout_s="10",
        preload_timeout_s="3",
        rollover_watch_s=getattr(request, "param", "0.5"),
        rollover_max_unavailable="0.7",
        extensions="worker_bot.extensions.core,versioned",
        extensions_path=str(code),
    )
    try:
        await stack.start_sandbox()
        await stack.add_bots(3)
        made = Scene(stack, code / "versioned.py", None)  # type: ignore[arg-type]
        made.write(SAYS, version="one")
        made.supervisor = await stack.start_supervisor()
        await stack.all_ready(3)
        yield made
    finally:
        await stack.close()


async def test_new_code_reaches_all_bots_without_a_lost_event_or_a_session_start(scene: Scene) -> None:
    assert await scene.versions() == ["one"] * 3
    scene.write(SAYS, version="two")
    load = await scene.stack.load(seconds=3)
    ended = await scene.end(await scene.ask())
    assert (ended.phase, ended.reason, ended.moved, ended.total) == (Phase.DONE, None, 3, 3), ended
    assert await scene.versions() == ["two"] * 3
    assert await scene.servers() == {ended.new_server}

    await scene.stack.all_answered(load)
    for item in await scene.applications():
        assert (item["identifies"], item["resumes"], item["answered_twice"]) == (1, 1, 0), item
    old, new = scene.fork_servers()
    await until(lambda: not alive(old), "the old fork server has ended")
    assert alive(new)
    # Whatever starts from now on is of the new one.
    first = next(iter(await scene.stack.statuses()))
    os.kill((await scene.stack.status(first)).pid or 0, signal.SIGKILL)
    again = await scene.stack.observed(first, lambda s: s.generation == 3 and s.ready, "READY again")
    assert again.fork_server == ended.new_server


async def test_code_that_cannot_be_imported_restarts_nothing_and_shows_why(scene: Scene) -> None:
    before = await scene.stack.statuses()
    for source, words in ((BROKEN, "SyntaxError"), (HANGS, 'versioned.py", line 2')):
        scene.write(source)
        ended = await scene.end(await scene.ask())
        assert (ended.phase, ended.moved) == (Phase.FAILED, 0)
        assert words in str(ended.details), ended
    after = await scene.stack.statuses()
    assert {bot_id: (s.pid, s.generation) for bot_id, s in after.items()} == {
        bot_id: (s.pid, s.generation) for bot_id, s in before.items()
    }
    assert await scene.versions() == ["one"] * 3
    old, *new = scene.fork_servers()
    await until(lambda: not any(map(alive, new)), "the new fork servers have ended")
    assert alive(old)


@pytest.mark.parametrize("scene", ["4"], indirect=True)  # seconds of watch, for a crash that a busy machine holds up
async def test_code_that_crashes_after_ready_is_taken_back(scene: Scene) -> None:
    scene.write(CRASHES_SOON, version="two")
    ended = await scene.end(await scene.ask())
    assert ended.phase is Phase.ROLLED_BACK, ended
    assert "bot-0 failed soon after it was READY with the new code: process crashed." in str(ended.reason)
    assert ended.moved == 0
    await scene.stack.all_ready(3)
    assert await scene.versions() == ["one"] * 3
    assert await scene.servers() == {ended.old_server}
    canary, *others = await scene.applications()
    assert canary["identifies"] == 1
    assert [(item["identifies"], item["resumes"]) for item in others] == [(1, 0)] * 2
    (told,) = await until(scene.happenings, "the end of the roll-over is told")
    assert (told.bot_id, told.detail["ended_as"], told.detail["why"]) == (None, "rolled_back", ended.reason)
    # And then it can be tried again.
    scene.write(SAYS, version="three")
    assert (await scene.end(await scene.ask())).phase is Phase.DONE
    assert await scene.versions() == ["three"] * 3


async def test_a_supervisor_killed_midway_is_followed_by_one_that_finishes(scene: Scene) -> None:
    scene.write(SAYS, version="two")
    rollover_id = await scene.ask()
    begun = await scene.at(rollover_id, Phase.CANARY)

    async def canary_moved() -> bool:
        return begun.new_server in await scene.servers()

    await until(canary_moved, "the canary has moved")
    await scene.supervisor.end(signal.SIGKILL)
    moved_before = {
        b: s.generation for b, s in (await scene.stack.statuses()).items() if s.fork_server == begun.new_server
    }
    scene.supervisor = await scene.stack.start_supervisor()
    ended = await scene.end(rollover_id)
    assert (ended.phase, ended.moved) == (Phase.DONE, 3), ended
    assert "the next one has finished it" in str(ended.reason)
    await scene.stack.all_ready(3)
    assert await scene.versions() == ["two"] * 3
    after = await scene.stack.statuses()
    assert {bot_id: after[bot_id].generation for bot_id in moved_before} == moved_before
    assert [item["identifies"] for item in await scene.applications()] == [1, 1, 1]


async def test_a_new_fork_server_that_is_killed_midway_turns_back(scene: Scene) -> None:
    rollover_id = await scene.ask()
    begun = await scene.at(rollover_id, Phase.CANARY, Phase.ROLLING)

    async def canary_moved() -> bool:
        statuses = (await scene.stack.statuses()).values()
        return any(status.ready and status.fork_server == begun.new_server for status in statuses)

    await until(canary_moved, "the canary has moved")
    os.kill(scene.fork_servers()[-1], signal.SIGKILL)
    ended = await scene.end(rollover_id)
    assert ended.phase is Phase.ROLLED_BACK, ended
    assert "The new fork server ended by itself." in str(ended.reason)
    await scene.stack.all_ready(3)
    assert await scene.servers() == {begun.old_server}
    assert [item["identifies"] for item in await scene.applications()] == [1, 1, 1]
