"""What the supervisor does about memory. Readings and the clock are made up; the fleet is real, without processes."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flotilla.domain.memory import WORTH_S
from flotilla.domain.policy import MIB, Overrides
from flotilla.domain.worker import BecameReady, State
from supervisor.chronicle import Chronicle
from supervisor.member import Member
from supervisor.memory import MemorySample
from supervisor.memory_watch import RENEWED_AT_ONCE, SCAN_S, WORD_S, MemoryWatch
from tests.stack import until
from tests.unit.supervisor.test_fleet import Host, bot

LIMIT, SOFT = 512 * MIB, int(512 * MIB * 0.9)


class Watched(Host):
    """A fleet with real processes (that sleep) and a watch over their memory."""

    def __init__(self) -> None:
        super().__init__(concurrency=100)
        self.asked: list[str] = []
        self.heap: dict[str, Any] = {"types": []}
        self.chronicle = Chronicle(self.store)
        self.watch = MemoryWatch(self.fleet, self.journal, self.chronicle, self.snapshot)
        self.children: list[subprocess.Popen[bytes]] = []

    async def snapshot(self, member: Member) -> dict[str, Any]:
        self.asked.append(member.bot.name)
        await asyncio.sleep(0)
        return self.heap

    def ready(self, count: int = 1, **overrides: Any) -> None:
        self.fleet.reconcile([replace(bot(number), overrides=Overrides(**overrides)) for number in range(count)])
        for member in self.fleet:
            self.starts(member)
            self.store.put(member.bot)

    def starts(self, member: Member) -> int:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.children.append(child)
        generation = member.worker.generation
        self.fleet.forked(member.bot.id, generation, child.pid, None)
        self.fleet.apply(member, BecameReady(generation))
        return child.pid

    def reads(self, at: float, used_bytes: float, number: int = 0, *, exact: bool = True) -> None:
        pid = self.member(number).worker.pid or 0
        self.watch.take(MemorySample(str(number), pid, int(used_bytes), exact), at)

    async def happened(self) -> list[tuple[str, dict[str, Any]]]:
        await asyncio.sleep(0.01)
        await self.chronicle.writer.flush()
        return [(row.code, row.detail) for rows in self.store.happenings.values() for row in rows]

    def end(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        for member in self.fleet:
            if member.process is not None:
                member.process.release()


@pytest.fixture
async def host() -> Iterator[Watched]:  # type: ignore[misc]
    made = Watched()
    yield made
    made.end()


async def test_first_exact_figure_is_stored_at_once_and_estimates_are_not_shown(host: Watched) -> None:
    host.ready()
    host.reads(1, 12 * MIB, exact=False)
    assert host.member(0).memory_bytes is None
    host.reads(2, 12 * MIB)
    assert host.member(0).memory_bytes == 12 * MIB
    await host.journal.writer.flush()
    assert host.store.statuses["0"].memory_bytes == 12 * MIB


async def test_worker_above_its_limit_is_killed_and_that_is_written_down(host: Watched) -> None:
    host.ready()
    host.reads(1, LIMIT + 1)
    assert (host.member(0).worker.state, host.member(0).worker.reason) == (State.STOPPING, "memory_limit")
    assert await asyncio.to_thread(host.children[0].wait, 5) == -9
    ((code, detail),) = await host.happened()
    assert (code, detail["used_bytes"], detail["limit_bytes"]) == ("memory_limit", LIMIT + 1, LIMIT)
    assert host.asked == []


async def test_worker_above_its_soft_limit_is_renewed_with_what_its_memory_is_made_of(host: Watched) -> None:
    host.ready()
    host.reads(1, SOFT + MIB)
    assert host.member(0).worker.state is State.RUNNING
    host.reads(7, SOFT + MIB)
    ((code, detail),) = await host.happened()
    assert (code, detail["heap"]) == ("memory_soft_limit", {"types": []})
    assert (host.member(0).worker.state, host.member(0).worker.reason) == (State.STOPPING, "memory_soft_limit")
    assert host.member(0).worker.restart


@pytest.mark.parametrize("how", ["urgent", "not wanted", "no answer"])
async def test_renewal_does_not_depend_on_the_snapshot(host: Watched, how: str) -> None:
    host.ready(memory_snapshot=how != "not wanted")
    host.heap = {}
    if how == "urgent":
        for at in range(4):
            host.reads(at, SOFT + MIB - (3 - at) * 60 * MIB)
    else:
        host.reads(1, SOFT + MIB)
        host.reads(7, SOFT + MIB)
    ((code, detail),) = await host.happened()
    assert (code, "heap" in detail) == ("memory_soft_limit", False)
    assert host.asked == (["bot-0"] if how == "no answer" else [])
    assert host.member(0).worker.state is State.STOPPING


async def test_renewal_that_did_not_help_is_not_repeated_and_told(host: Watched) -> None:
    host.ready()
    host.reads(1, SOFT + MIB)
    host.reads(7, SOFT + MIB)
    await host.happened()
    host.fleet.exited("0", 1, 0)
    host.starts(host.member(0))
    for at in (20.0, 26.0, 32.0, 20 + WORTH_S * 2):
        host.reads(at, SOFT + MIB)
    assert [code for code, _ in await host.happened()] == ["memory_soft_limit", "memory_stays_high"]
    assert host.member(0).worker.state is State.RUNNING
    host.reads(1000, LIMIT + 1)
    assert host.member(0).worker.state is State.STOPPING


async def test_forecast_is_shown_and_told(host: Watched) -> None:
    host.ready(stable_after_s=0.001)
    await asyncio.sleep(0.01)
    begin = asyncio.get_running_loop().time() + 1
    for step in range(60):
        host.reads(begin + step * 5, (100 + 2 * step) * MIB)
    vitals = host.member(0).vitals
    assert vitals.memory_slope_bytes_s == pytest.approx(0.4 * MIB, rel=0.01)
    assert vitals.memory_full_in_s == pytest.approx((512 - 218) / 0.4, rel=0.05)
    ((code, detail),) = await host.happened()
    assert (code, detail["slope_bytes_s"]) == ("memory_forecast", round(0.4 * MIB))
    assert detail["full_in_s"] <= 3600
    host.fleet.exited("0", 1, -9)
    assert host.member(0).vitals.memory_full_in_s is None


async def test_fleet_that_leaks_together_is_renewed_by_and_by(host: Watched) -> None:
    host.ready(RENEWED_AT_ONCE + 2, memory_snapshot=False)
    for at in (1, 7):
        for number in range(RENEWED_AT_ONCE + 2):
            host.reads(at, SOFT + MIB, number)

    def stopping() -> int:
        return sum(member.worker.state is State.STOPPING for member in host.fleet)

    assert stopping() == RENEWED_AT_ONCE
    host.fleet.exited("0", 1, 0)
    host.fleet.apply(host.member(0), BecameReady(2))
    host.reads(8, SOFT + MIB, RENEWED_AT_ONCE)
    assert stopping() == RENEWED_AT_ONCE
    host.reads(8, SOFT + MIB, RENEWED_AT_ONCE + 1)
    assert stopping() == RENEWED_AT_ONCE, "one came back, one went"


async def test_sample_of_a_process_that_is_no_longer_the_bots_is_ignored(host: Watched) -> None:
    host.ready()
    host.watch.take(MemorySample("0", 1, LIMIT * 2, exact=True), 1)
    host.watch.take(MemorySample("nobody", 1, LIMIT * 2, exact=True), 1)
    assert host.member(0).worker.state is State.RUNNING


async def test_only_who_is_due_is_looked_at_and_new_workers_soon(host: Watched) -> None:
    host.ready(2, memory_limit_mb=8192)
    assert {target.bot_id for target in host.watch.due(100)} == {"0", "1"}
    assert {target.bot_id for target in host.watch.due(101)} == {"0", "1"}
    host.reads(100, 12 * MIB, 0)
    host.reads(100, 7372 * MIB, 1)
    assert host.watch.pause_s(100) < 0.11
    assert {target.bot_id for target in host.watch.due(100.15)} == {"1"}
    host.fleet.exited("1", 1, -9)
    assert host.watch.due(100.2) == []
    pid = host.starts(host.member(1))
    (target,) = host.watch.due(100 + SCAN_S + 0.01)
    assert (target.bot_id, target.pid, target.measured) == ("1", pid, True), "no figure is wanted so soon"
    host.watch.take(MemorySample("1", pid, 12 * MIB, exact=True), 101)
    assert {target.bot_id for target in host.watch.due(111)} == {"0", "1"}


async def test_figure_is_wanted_when_the_worker_has_said_what_it_shares_or_had_time_to(host: Watched) -> None:
    host.ready(2, memory_limit_mb=8192)
    for index in range(2):
        host.watch.take(MemorySample(str(index), host.member(index).worker.pid or 0, 60 * MIB, exact=False), 100)
    assert host.watch.due(100.3) == []
    host.member(1).shared_bytes = MIB
    (target,) = host.watch.due(100.6)
    assert (target.bot_id, target.measured) == ("1", False)
    host.reads(100.6, 12 * MIB, 1)
    host.later_s = WORD_S
    (target,) = host.watch.due(100 + WORD_S)
    assert (target.bot_id, target.measured) == ("0", False), "it kept silent"


async def test_worker_whose_limit_changes_is_looked_at_at_once(host: Watched) -> None:
    host.ready(memory_limit_mb=8192)
    host.watch.due(1)
    host.reads(1, 100 * MIB)
    assert host.watch.due(2) == []
    host.fleet.reconcile([replace(bot(0), overrides=Overrides(memory_limit_mb=64))])
    (target,) = host.watch.due(3)
    assert target.limit_bytes == 64 * MIB
    host.reads(3, 100 * MIB)
    assert host.member(0).worker.state is State.STOPPING


async def test_worker_on_its_way_out_is_killed_once_and_not_at_every_look(host: Watched) -> None:
    host.ready()
    host.reads(1, LIMIT + 1)
    deadline = host.member(0).worker.deadline
    host.reads(1.1, LIMIT + 2)
    assert host.member(0).worker.deadline == deadline, "the lifecycle repeats what did not work"


async def test_bot_that_is_gone_is_forgotten(host: Watched) -> None:
    host.ready()
    host.watch.due(1)
    host.fleet.reconcile([])
    host.fleet.exited("0", 1, 0)
    host.fleet.reconcile([])
    assert host.watch.due(2) == []
    assert host.watch._watched == {}


async def test_loop_measures_real_processes(host: Watched) -> None:
    host.ready(2)
    running = asyncio.create_task(host.watch.run())
    try:
        await until(lambda: all(member.memory_bytes for member in host.fleet), "all are measured", 10)
    finally:
        running.cancel()
    assert all(0 < (member.memory_bytes or 0) < 50 * MIB for member in host.fleet)
