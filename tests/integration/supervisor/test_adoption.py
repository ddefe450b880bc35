"""The supervisor dies or is stopped, in every way; the bots do not notice."""

import asyncio
import os
import signal
from dataclasses import replace

from flotilla.domain.worker import State
from tests.stack import Stack, alive


async def test_workers_outlive_a_killed_supervisor_and_are_adopted(stack: Stack) -> None:
    await stack.add_bots(5)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(5)
    await supervisor.end(signal.SIGKILL)
    assert all(alive(status.pid) for status in before.values())
    successor = await stack.start_supervisor()
    assert "adopted=5" in successor.text()
    await asyncio.sleep(4)  # longer than the liveness timeout: only workers that made themselves known survive it
    after = await stack.statuses()
    for bot_id, status in before.items():
        assert (after[bot_id].pid, after[bot_id].generation, after[bot_id].ready) == (status.pid, 1, True)
        assert await stack.states_of(bot_id) == [("STARTING", False), ("RUNNING", True)]


async def test_adopted_worker_is_supervised_like_any_other(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    await supervisor.end(signal.SIGKILL)
    await stack.start_supervisor()
    os.kill(pid, signal.SIGKILL)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")


async def test_worker_that_died_without_a_supervisor_is_started_by_the_next(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    await supervisor.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")


async def test_sigterm_leaves_the_bots_running(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    assert await supervisor.end(signal.SIGTERM) == 0
    assert alive(before.pid)
    await stack.start_supervisor()
    assert (await stack.status(bot_id)).pid == before.pid


async def test_sigint_stops_the_bots_and_the_next_supervisor_starts_them(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid
    assert await supervisor.end(signal.SIGINT) == 0
    assert not alive(pid)
    assert (await stack.status(bot_id)).state is State.STOPPED
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.ready, "the bot is READY again")


async def test_fatal_bot_stays_fatal_under_the_next_supervisor(stack: Stack) -> None:
    token = (await stack.sandbox("POST", "/applications", name="impostor"))["token"]
    bot_id = await stack.add_bot("impostor", token=token[:-1] + ("A" if token[-1] != "A" else "B"))
    supervisor = await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is FATAL")
    await supervisor.end(signal.SIGKILL)
    await stack.start_supervisor()
    (neighbour,) = await stack.add_bots(1)
    await stack.observed(neighbour, lambda s: s.ready, "another bot is READY")
    status = await stack.status(bot_id)
    assert (status.state, status.reason, status.generation) == (State.FATAL, "token_refused", 1)


async def test_second_supervisor_in_one_home_is_refused(stack: Stack) -> None:
    first = await stack.start_supervisor()
    second = await stack.start("supervisor")
    assert await asyncio.wait_for(second.process.wait(), 15) == 78
    assert f"Another supervisor (process {first.pid})" in second.text()
    assert "Traceback" not in second.text()


async def test_pid_that_now_belongs_to_a_stranger_is_not_adopted(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    status = (await stack.all_ready(1))[bot_id]
    await supervisor.end(signal.SIGINT)
    stranger = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        await stack.store.save([replace(status, pid=stranger.pid)], [])
        await stack.start_supervisor()
        await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY as a new process")
        assert stranger.returncode is None
        assert alive(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()
