"""A restart whose RESUME Discord refuses: the worker before passes on what it gets until the next has its session."""

import os
import signal
from typing import Any

from flotilla.botlog import log_file
from flotilla.domain.bots import BotStatus, Desired
from flotilla.domain.worker import State
from tests.stack import Stack, alive, until

BORROWS = "lives on what the worker before receives"


async def application(stack: Stack) -> dict[str, Any]:
    (item,) = (await stack.sandbox("GET", "/applications"))["items"]
    return dict(item)


def log_of(stack: Stack) -> str:
    return log_file(stack.settings.log_dir, "bot-0").read_text()


async def borrowing(stack: Stack, restarts: int = 1) -> None:
    await until(lambda: log_of(stack).count(BORROWS) == restarts, "the next worker has no session yet")


async def ready(stack: Stack, bot_id: str, generation: int) -> BotStatus:
    return await stack.observed(bot_id, lambda s: s.generation >= generation and s.ready, "the bot is READY again")


async def begun(stack: Stack, **settings: str) -> tuple[BotStatus, Any]:
    """Return a READY bot whose RESUMEs will be refused, and its supervisor."""
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor(**settings)
    status = (await stack.all_ready(1))[bot_id]
    await stack.sandbox("POST", "/faults", kind="refuse_resume", spare=True)
    return status, supervisor


async def test_refused_resume_costs_one_identify_and_no_event(stack: Stack) -> None:
    before, _ = await begun(stack)
    load = await stack.load(seconds=3)
    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    after = await ready(stack, before.bot_id, 2)
    assert await stack.all_answered(load) == 150
    state = await application(stack)
    assert (state["identifies"], state["resumes"], state["answered_twice"]) == (2, 0, 0)
    assert after.pid != before.pid
    await until(lambda: not alive(before.pid), "the worker before is gone")


async def test_worker_that_dies_while_it_passes_on_and_a_stop_meanwhile_leave_what_is_wanted(stack: Stack) -> None:
    before, _ = await begun(stack)
    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    await borrowing(stack)
    os.kill(before.pid or 0, signal.SIGKILL)
    after = await ready(stack, before.bot_id, 2)
    assert after.generation == 2
    assert (await application(stack))["identifies"] == 2

    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    await borrowing(stack, restarts=2)
    await stack.bots.want(before.bot_id, Desired.STOPPED)
    stopped = await stack.observed(before.bot_id, lambda s: s.state is State.STOPPED, "the bot is STOPPED")
    assert stopped.generation == 3
    await until(lambda: not alive(after.pid), "the worker before is gone")
    state = await application(stack)
    assert (state["sessions_connected"], state["identifies"]) == (0, 2)


async def test_successor_that_dies_without_a_session_is_followed_by_one_that_misses_nothing(stack: Stack) -> None:
    before, _ = await begun(stack)
    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    await borrowing(stack)
    dead = await stack.observed(before.bot_id, lambda s: s.generation == 2 and s.pid, "the next worker is known")
    os.kill(dead.pid or 0, signal.SIGKILL)
    await until(lambda: not alive(dead.pid), "it is dead")
    load = await stack.load(seconds=1)
    await ready(stack, before.bot_id, 3)
    await stack.all_answered(load)
    assert (await application(stack))["identifies"] == 2


async def test_supervisor_that_dies_meanwhile_finds_one_bot_with_one_worker(stack: Stack) -> None:
    before, supervisor = await begun(stack)
    await stack.bots.want(before.bot_id, Desired.RUNNING, again=True)
    await borrowing(stack)
    await supervisor.end(signal.SIGKILL)
    await stack.start_supervisor()
    await ready(stack, before.bot_id, 2)
    await until(lambda: not alive(before.pid), "the worker before is gone")
    assert (await application(stack))["sessions_connected"] == 1
    assert (await application(stack))["identifies"] == 2
