"""A bot ends a helper process of its own.

Signals that a bot sends to a process that it forked reach that process and nobody else: the helper ends as any process
would, the bot goes on in the same process with the same session. No helper keeps the bot's control connection.
"""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack, alive, until


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(tmp_path, poll_interval_s="0.1", extensions="tests.extensions.helping")
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def help_by(stack: Stack, way: str) -> str:
    """Let the bot start a helper and return what it says came of it."""
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}/interactions"
    used = await stack.sandbox("POST", path, command="helper", options={"way": way})

    async def said() -> str:
        report = await stack.sandbox("GET", f"{path}/{used['interaction_id']}")
        return str((report["message"] or {}).get("content") or "")

    return str(await until(said, f"the bot tells of {way}", 60))


def sockets(pid: int | None) -> set[str]:
    """The Unix sockets that a process has open."""
    fds = {each.fd for each in psutil.Process(pid).net_connections("unix")}
    return {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in fds}


ENDED = {
    "fork process": "-15",
    "spawn process": "-15",
    "forkserver process": "-15",
    "pool": "-15",
    "fork SIGTERM": "-15",
    "fork SIGINT": "-2",
    "fork SIGUSR1": "-10",
    "fork SIGUSR2": "-12",
    "threaded fork process": "-15",
    "looped": "7",
    "prepared": "-15",
}


async def test_helper_that_a_bot_ends_is_gone_and_the_bot_goes_on(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    assert {way: await help_by(stack, way) for way in ENDED} == ENDED
    after = await stack.status(bot_id)
    assert (after.pid, after.generation, after.ready) == (before.pid, 1, True)


async def test_helper_that_outlives_its_bot_keeps_no_connection_of_it(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    helper = int(await help_by(stack, "outliving"))
    try:
        assert alive(helper)
        assert len(sockets(before.pid)) - len(sockets(before.pid) & sockets(helper)) == 1, "all but one are shared"
        os.kill(before.pid or 0, signal.SIGKILL)
        await stack.observed(bot_id, lambda s: s.ready and s.generation == 2, "the bot is back")
        assert await help_by(stack, "fork SIGTERM") == "-15"
    finally:
        if alive(helper):
            os.kill(helper, signal.SIGKILL)
