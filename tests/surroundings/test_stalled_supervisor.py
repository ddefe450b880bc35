"""The supervisor stands still.

Stopped, paused with its container, suspended with its machine, or held by a disk: what it slept through is nobody's
silence. No bot is touched, what waits is read first, and a bot that really hangs is found within its usual time.
"""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from flotilla.domain.bots import BotStatus, Desired
from tests.stack import Program, Stack, until

LIVENESS_S = 3.0
STALLED_S = 6.0


async def stall(supervisor: Program, seconds: float) -> None:
    """Have a supervisor miss some seconds."""
    supervisor.process.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{supervisor.pid}/stat")
    await until(lambda: stat.read_bytes().rpartition(b") ")[2].startswith(b"T"), "it is stopped")
    await asyncio.sleep(seconds)
    supervisor.process.send_signal(signal.SIGCONT)


async def caught_up_after_s(supervisor: Program, bots: int) -> float:
    """Wait until a supervisor has heard all bots again; return the seconds it took it."""
    pattern = rf"supervisor\.caught_up +after_s=([\d.]+) bots={bots} heard={bots}\b"
    found = await until(lambda: re.search(pattern, supervisor.text()), "all bots were heard again")
    return float(found[1])


async def identifies(stack: Stack) -> int:
    """Return how many sessions were begun in all."""
    return sum(row["identifies"] for row in (await stack.sandbox("GET", "/applications"))["items"])


async def untouched(stack: Stack, before: dict[str, BotStatus]) -> None:
    """Assert that no bot has another process, and none was ever anything but up."""
    for bot_id, status in (await stack.statuses()).items():
        assert (status.pid, status.generation, status.ready) == (before[bot_id].pid, 1, True)
        assert await stack.states_of(bot_id) == [("STARTING", False), ("RUNNING", True)]


async def test_no_bot_is_touched_for_what_its_supervisor_slept_through(stack: Stack) -> None:
    await stack.add_bots(5)
    supervisor = await stack.start_supervisor()
    before, begun = await stack.all_ready(5), await identifies(stack)
    for _ in range(2):
        await stall(supervisor, STALLED_S)
        await caught_up_after_s(supervisor, 5)
    await asyncio.sleep(LIVENESS_S + 1)  # whoever were judged by what was missed would be killed by now
    await untouched(stack, before)
    assert await identifies(stack) == begun
    assert "code=supervisor_stalled" in supervisor.text(), "it is told"


@pytest.mark.nightly
async def test_a_bot_that_hangs_while_its_supervisor_sleeps_is_found_as_soon_as_ever(stack: Stack) -> None:
    hanging, other = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    os.kill(before[hanging].pid or 0, signal.SIGSTOP)
    await stall(supervisor, STALLED_S)
    woke = asyncio.get_running_loop().time()
    await until(lambda: "reason=unresponsive" in supervisor.text(), "it is found")
    took_s = asyncio.get_running_loop().time() - woke
    assert took_s < LIVENESS_S + 10  # of a busy machine; it is 3 s on a quiet one
    await stack.observed(hanging, lambda status: status.generation == 2 and status.ready, "it is READY again")
    assert (await stack.status(other)).pid == before[other].pid


@pytest.mark.nightly
async def test_a_start_and_a_stop_go_on_where_the_supervisor_fell_asleep(tmp_path: Path) -> None:
    """Startup deadline and stop grace are shorter than the stall."""
    stack = await Stack.create(tmp_path, poll_interval_s="0.1", stop_grace_s="3", startup_timeout_s="5")
    try:
        await stack.start_sandbox()
        starting, stopping = await stack.add_bots(2)
        supervisor = await stack.start_supervisor()
        before = await stack.all_ready(2)
        os.kill(before[stopping].pid or 0, signal.SIGSTOP)
        await stack.bots.want(stopping, Desired.STOPPED)
        await stack.observed(stopping, lambda status: status.state == "STOPPING", "it is asked to end")
        await stack.bots.restart(starting)
        await stack.observed(starting, lambda status: status.generation == 2, "the next one starts", 15)
        await stall(supervisor, 8.0)
        os.kill(before[stopping].pid or 0, signal.SIGCONT)
        await stack.observed(starting, lambda status: status.ready, "it is READY")
        await stack.observed(stopping, lambda status: status.state == "STOPPED", "it has ended")
        assert (await stack.status(starting)).generation == 2
        assert "signal=kill" not in supervisor.text()
    finally:
        await stack.close()


@pytest.mark.nightly
async def test_a_hundred_bots_outlive_twelve_seconds_and_all_are_heard_again(tmp_path: Path) -> None:
    stack = await Stack.create(tmp_path, poll_interval_s="1")
    try:
        await stack.start_sandbox()
        await stack.add_bots(100)
        supervisor = await stack.start_supervisor()
        before, begun = await stack.all_ready(100, 300), await identifies(stack)
        await stall(supervisor, 12.0)
        await caught_up_after_s(supervisor, 100)  # how soon is measured by `python -m benchmarks stall`
        await asyncio.sleep(10)  # the liveness timeout and more
        await untouched(stack, before)
        assert await identifies(stack) == begun
    finally:
        await stack.close()
