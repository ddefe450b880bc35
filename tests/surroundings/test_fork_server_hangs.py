"""The process that workers are forked from lives and does not answer.

It is given ten seconds for an order, then it is replaced; what it was asked for is asked of the next one, and bots that
run are not touched.
"""

import asyncio
import signal

import psutil
import pytest

from flotilla.domain.worker import State
from tests.stack import Program, Stack
from tests.surroundings.happened import until_told


def fork_server_of(supervisor: Program) -> psutil.Process:
    children = psutil.Process(supervisor.pid).children()
    return next(child for child in children if "fork server" in " ".join(child.cmdline()))


@pytest.mark.nightly
async def test_a_fork_server_that_was_stopped_is_replaced_and_running_bots_stay(stack: Stack) -> None:
    old = await stack.add_bot("old")
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1))[old]
    hung = fork_server_of(supervisor)
    hung.send_signal(signal.SIGSTOP)
    new = await stack.add_bot("new")
    status = await stack.observed(new, lambda s: s.ready, "the next fork server forks it", 60)
    assert status.failures == 0
    assert not psutil.pid_exists(hung.pid) or fork_server_of(supervisor).pid != hung.pid
    assert (await stack.status(old)).pid == before.pid
    assert (await stack.status(old)).state is State.RUNNING
    await until_told(stack, "fork_server_hung")
    await until_told(stack, "spawns_work")


@pytest.mark.nightly
async def test_a_stop_of_the_supervisor_is_not_taken_for_the_fork_servers_silence(stack: Stack) -> None:
    supervisor = await stack.start_supervisor()
    first = await stack.add_bot("first")
    await stack.observed(first, lambda s: s.ready, "it is READY")
    process, server = psutil.Process(supervisor.pid), fork_server_of(supervisor)
    process.suspend()
    second = await stack.add_bot("second")
    server.suspend()
    await asyncio.sleep(12)  # the time itself is what is tried
    server.resume()
    process.resume()
    await stack.observed(second, lambda s: s.ready, "it is READY")
    assert fork_server_of(supervisor).pid == server.pid
