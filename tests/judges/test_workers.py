"""A real worker of ours, under a real supervisor, says to Discord only what Discord describes, also when it resumes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.sandbox.conftest import Sandbox
from tests.judges.tap import Tap
from tests.stack import Stack, until


@pytest.fixture
async def stack(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(tmp_path, poll_interval_s="0.1", stop_grace_s="3", startup_timeout_s="30")
    stack.use_sandbox(sandbox.url, sandbox.discord.control_key)
    try:
        yield stack
    finally:
        await stack.close()


class Seen:
    """The one application there is, as Discord sees it, and a user of its command."""

    def __init__(self, stack: Stack, application_id: str) -> None:
        self._stack = stack
        self._path = f"/applications/{application_id}"

    async def answers_after(self, identifies: int, resumes: int) -> None:
        """Check that the worker gets to so many starts and then answers a command."""

        async def started() -> bool:
            state = await self._stack.sandbox("GET", self._path)
            return (state["identifies"], state["resumes"]) == (identifies, resumes)

        await until(started, f"it identified {identifies} and resumed {resumes} times")
        used = await self._stack.sandbox("POST", f"{self._path}/interactions", command="ping")
        assert (used["status"], "Pong!" in str(used["response"])) == ("answered", True)


async def test_worker_logs_in_answers_resumes_and_identifies_again(stack: Stack, tap: Tap | None) -> None:
    await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    seen = Seen(stack, application["id"])
    await seen.answers_after(identifies=1, resumes=0)
    await stack.sandbox("POST", "/faults", kind="drop")
    await seen.answers_after(identifies=1, resumes=1)
    await stack.sandbox("POST", "/faults", kind="invalid_session", resumable=False)
    await seen.answers_after(identifies=2, resumes=1)
    if tap is not None:
        assert (tap.events >= 8, tap.exchanges >= 5) == (True, True)  # two logins, three commands
