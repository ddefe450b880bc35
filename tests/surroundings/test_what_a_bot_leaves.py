"""A bot's helper processes, after its supervisor was restarted.

Whatever a bot has started in its session ends with it: when it is stopped, crashes, is restarted or removed, when it
died while there was no supervisor, and when everything goes down. Nobody else is hit, whoever has its number by then.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from flotilla.domain.bots import Desired
from flotilla.processes import start_ticks, ticks_now
from supervisor.killing import end_once
from supervisor.remains import Ended, Living, left_of
from tests.stack import Program, Stack, alive, until

EXTENSION = "tests.extensions.begetting"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(tmp_path, poll_interval_s="0.1", stop_grace_s="5", extensions=EXTENSION)
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def helpers_of(pid: int | None) -> list[int]:
    """Return a worker's helper processes once they are there."""
    assert pid is not None
    session = os.getsid(pid)

    def found() -> list[int]:
        pids = [each.pid for each in psutil.Process(pid).children(recursive=True) if os.getsid(each.pid) == session]
        return pids if len(pids) == 2 else []

    return await until(found, "both helpers run")  # type: ignore[no-any-return]


def late_helpers(home: Path) -> list[int]:
    """Return helpers that were started by a bot of this test when it was told to end, by the log that they write to."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            its_log = str(Path(f"/proc/{process.pid}/fd/1").readlink())
        except OSError:
            continue
        if process.info["cmdline"] == ["sleep", "86401"] and its_log.startswith(str(home)):
            found.append(process.pid)
    return found


async def stopped(stack: Stack, bot_id: str, _pid: int) -> None:
    await stack.bots.want(bot_id, Desired.STOPPED)


async def crashed(_stack: Stack, _bot_id: str, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def restarted(stack: Stack, bot_id: str, _pid: int) -> None:
    await stack.bots.restart(bot_id)


async def removed(stack: Stack, bot_id: str, _pid: int) -> None:
    await stack.bots.remove(bot_id, datetime.now(UTC))


async def went_down(stack: Stack, _bot_id: str, _pid: int) -> None:
    assert await stack.programs[-1].end(signal.SIGINT) == 0


ENDS = (stopped, crashed, restarted, removed, went_down)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_helpers_of_an_adopted_bot_end_with_it(
    stack: Stack, end: Callable[[Stack, str, int], Awaitable[None]]
) -> None:
    bot_id, neighbour = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    pid, others = before[bot_id].pid or 0, before[neighbour].pid or 0
    helpers, not_ours = await helpers_of(pid), await helpers_of(others)
    await supervisor.end(signal.SIGKILL)
    successor = await stack.start_supervisor()
    await adopted(successor)
    await end(stack, bot_id, pid)
    await until(lambda: not alive(pid), "the worker has ended")
    await until(lambda: not any(map(alive, helpers)), "so have its helpers")
    await until(lambda: not late_helpers(stack.home), "those that came last, too")
    if end is went_down:
        assert not any(map(alive, not_ours)), "of all bots, when it says that it is down"
    else:
        assert all(map(alive, [others, *not_ours])), "of this bot alone"


@pytest.mark.nightly
async def test_helpers_of_a_bot_that_died_without_a_supervisor_are_ended_by_the_next(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    helpers = await helpers_of(pid)
    since = datetime.now(UTC)
    await stack.observed(bot_id, lambda at: at.heartbeat_at and at.heartbeat_at > since, "its heartbeat is noted")
    await supervisor.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid), "the worker has ended")
    assert all(map(alive, helpers))
    await stack.start_supervisor()
    await until(lambda: not any(map(alive, helpers)), "its helpers are ended")


async def adopted(supervisor: Program) -> None:
    await until(lambda: "supervisor.adoption_complete" in supervisor.text(), "its workers are back")


# Whom it hits ----------------------------------------------------------------------------------------------------


def end_all(workers: list[Ended]) -> None:
    while end_once(workers, Living, set()).left:
        time.sleep(0.01)


async def session_without_leader() -> tuple[int, int]:
    """Start a session whose leader ends at once and is reaped; return its number and the process that is left of it."""
    code = "sleep 86400 >/dev/null 2>&1 & echo $!"
    process = await asyncio.create_subprocess_exec("sh", "-c", code, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    left = int(await process.stdout.readline())
    await process.wait()
    return process.pid, left


async def test_a_process_that_began_after_the_worker_was_last_known_to_live_proves_nothing() -> None:
    """The number may have been free in between, and the session another's."""
    session, left = await session_without_leader()
    began = start_ticks(left) or 0
    uids = frozenset({os.getuid()})
    try:
        assert left_of([Ended("bot", session, 0, began - 1, uids)]) == []
        assert left_of([Ended("bot", session, began + 1, ticks_now(), uids)]) == [], "older than the worker"
        assert left_of([Ended("bot", session, 0, ticks_now(), frozenset({os.getuid() + 1}))]) == [], "another user"
        assert [each.pid for each in left_of([Ended("bot", session, 0, ticks_now(), uids)])] == [left]
        await asyncio.to_thread(end_all, [Ended("bot", session, 0, began - 1, uids)])
        assert alive(left)
        await asyncio.to_thread(end_all, [Ended("bot", session, 0, began, uids)])
        assert not alive(left)
    finally:
        if alive(left):
            os.kill(left, signal.SIGKILL)


async def test_a_live_leader_with_another_start_time_is_a_stranger_and_so_is_its_session() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "86400", start_new_session=True)
    try:
        began = start_ticks(process.pid) or 0
        assert left_of([Ended("bot", process.pid, began - 1, ticks_now(), frozenset({os.getuid()}))]) == []
        await asyncio.to_thread(end_all, [Ended("bot", process.pid, began - 1, ticks_now(), frozenset({os.getuid()}))])
        assert alive(process.pid)
    finally:
        process.kill()
        await process.wait()
