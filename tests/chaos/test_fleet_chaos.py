"""Seeded faults on a whole fleet; invariants are watched all the time, and all bots are READY when it is over."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from flotilla.domain.bots import Desired
from tests.stack import Program, Stack, alive, until

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(
        tmp_path,
        poll_interval_s="0.1",
        liveness_timeout_s="3",
        stop_grace_s="3",
        backoff_cap_s="1",
        max_failures="1000",
    )
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


def workers_by_bot(stack: Stack) -> Counter[str]:
    """Count live processes by the bot whose log they write to: what a bot has twice, it answers twice."""
    logs: Counter[str] = Counter()
    folder = str(stack.settings.log_dir / "bots")
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(OSError):
            target = str(Path(f"/proc/{process.pid}/fd/1").readlink())
            if target.startswith(folder) and process.pid == os.getsid(process.pid):
                logs[Path(target).stem] += alive(process.pid)
    return logs


async def watch_sessions(stack: Stack, found: list[str]) -> None:
    """Record every moment at which a bot had two gateway sessions."""
    while True:
        applications = (await stack.sandbox("GET", "/applications"))["items"]
        found.extend(app["name"] for app in applications if app["sessions_connected"] > 1)
        await asyncio.sleep(0.02)


async def hurt(stack: Stack, supervisor: Program, dice: random.Random) -> Program:
    """Do one harm; return the supervisor that runs afterwards."""
    statuses = [row for row in (await stack.store.fleet()) if row.status.pid]
    harm = dice.choice(
        ["kill", "kill", "kill many", "freeze", "supervisor", "fork server", "restart", "stop and start"]
    )
    victim = dice.choice(statuses) if statuses else None
    if harm == "supervisor":
        await supervisor.end(signal.SIGKILL)
        await asyncio.sleep(dice.random() / 2)
        return await stack.start_supervisor()
    if harm == "fork server":
        for child in psutil.Process(supervisor.pid).children():
            if "fork server" in " ".join(child.cmdline()):
                child.kill()
    elif victim is not None:
        await hurt_bots(stack, harm, victim.bot.id, [row.status.pid or 0 for row in statuses], dice)
    return supervisor


async def hurt_bots(stack: Stack, harm: str, bot_id: str, pids: list[int], dice: random.Random) -> None:
    if harm == "restart":
        await stack.bots.want(bot_id, Desired.RUNNING, again=True)
    elif harm == "stop and start":
        await stack.bots.want(bot_id, Desired.STOPPED)
        await asyncio.sleep(dice.random() / 2)
        await stack.bots.want(bot_id, Desired.RUNNING)
    else:
        number = signal.SIGSTOP if harm == "freeze" else signal.SIGKILL
        for pid in dice.sample(pids, k=min(len(pids), 5 if harm == "kill many" else 1)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def test_fleet_survives_any_order_of_faults(stack: Stack) -> None:
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - what is needed to see a failure again
    dice = random.Random(SEED)
    await stack.add_bots(10)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(10)
    doubles: list[str] = []
    watching = asyncio.create_task(watch_sessions(stack, doubles))
    for _ in range(20):
        supervisor = await hurt(stack, supervisor, dice)
        await asyncio.sleep(dice.random())
    await stack.all_ready(10, 60)

    def one_each() -> bool:
        return set(workers_by_bot(stack).values()) == {1}

    await until(one_each, "every bot has exactly one process")
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert doubles == []
    assert "illegal_transition" not in "".join(program.text() for program in stack.programs)


async def test_hundred_bots_come_back_after_all_are_killed_at_once(stack: Stack) -> None:
    await stack.add_bots(100)
    await stack.start_supervisor()
    before = await stack.all_ready(100, 90)
    for status in before.values():
        os.kill(status.pid or 0, signal.SIGKILL)

    async def all_back() -> bool:
        return all(status.ready and status.generation >= 2 for status in (await stack.statuses()).values())

    await until(all_back, "a hundred bots are READY again", 90)
    assert set(workers_by_bot(stack).values()) == {1}


@pytest.mark.nightly
async def test_hundred_bots_are_adopted_and_then_stopped_together(stack: Stack) -> None:
    await stack.add_bots(100)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(100, 90)
    await supervisor.end(signal.SIGKILL)
    successor = await stack.start_supervisor()
    assert "adopted=100" in successor.text()
    await asyncio.sleep(4)  # longer than the liveness timeout: only workers that made themselves known survive it
    after = await stack.statuses()
    assert {b: s.pid for b, s in after.items()} == {b: s.pid for b, s in before.items()}
    assert await successor.end(signal.SIGINT, 20) == 0
    assert not any(alive(status.pid) for status in before.values())
