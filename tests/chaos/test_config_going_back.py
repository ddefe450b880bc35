"""A config that fails is gone back from, also when the supervisor dies in the middle of it or the database hangs."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.conftest import locked
from tests.integration.supervisor.test_configs import Fleet
from tests.stack import Stack, until

BROKEN = "tests.extensions.broken"
MOMENTS_S = (0.05, None, 0.6)
"""The worker with the broken config is forked, fails, and the one with the good config comes up meanwhile.

None: when the worker with the good config has just been told to leave, so that nobody but the database knows of it.
"""


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    stack = await Stack.create(tmp_path, poll_interval_s="0.1")
    try:
        await stack.start_sandbox()
        (bot_id,) = await stack.add_bots(1)
        await stack.start_supervisor()
        await stack.all_ready(1)
        yield Fleet(stack, bot_id)
    finally:
        await stack.close()


async def test_supervisor_that_is_killed_meanwhile_goes_back_with_its_next_life(fleet: Fleet) -> None:
    for moment_s in MOMENTS_S:
        supervisor = fleet.stack.programs[-1]
        version = await fleet.change(extensions=[BROKEN], settings={BROKEN: {"moment": str(moment_s)}})
        if moment_s is None:
            await until(lambda log=supervisor: "signal=hand_over" in log.text(), "it is told to leave")
        else:
            await asyncio.sleep(moment_s)
        await supervisor.end(signal.SIGKILL)
        await fleet.stack.start_supervisor()
        outcome = await fleet.refused(version)
        assert outcome.good_version == 0
        await fleet.runs(0)
        assert (await fleet.use("ping"))["status"] == "answered"
    told = await fleet.discord()
    assert told["sessions_connected"] == 1
    assert told["identifies"] <= 1 + len(MOMENTS_S), "at most one for each supervisor that died"


async def test_users_do_not_notice_when_the_database_hangs_meanwhile(fleet: Fleet) -> None:
    version = await fleet.change(extensions=[BROKEN])
    with locked(fleet.stack):
        log = fleet.stack.programs[-1]
        await until(lambda: f'"version": {version}' in log.text() or f"version={version}" in log.text(), "it is tried")
        for _ in range(10):
            assert (await fleet.use("ping"))["status"] == "answered"
            await asyncio.sleep(0.2)
    outcome = await fleet.refused(version)
    assert outcome.refused is not None
    assert outcome.refused.code == "bot_code_failed"
    await fleet.runs(0)
    assert (await fleet.discord())["identifies"] == 1
