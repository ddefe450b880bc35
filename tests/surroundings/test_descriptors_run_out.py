"""Descriptors run out.

The supervisor starts no more bots than it has descriptors for, says so once, loses none that runs, and goes on by
itself when there is room. A look that the kernel refuses for want of a descriptor is never taken for a death.
"""

import subprocess
import sys

from flotilla.domain.bots import Desired
from supervisor.host_faults import DESCRIPTORS_KEPT
from tests.refusals import few_descriptors
from tests.stack import Stack, until
from tests.surroundings.happened import told, until_told

BOTS = 14
FILES = 84
"""A supervisor without workers has some 20 open, and a worker takes two to four: its log and memory are looked at."""


async def test_bots_for_which_there_is_no_room_wait_and_are_not_given_up(stack: Stack) -> None:
    stack.before_exec = few_descriptors(FILES)
    ids = await stack.add_bots(BOTS)
    supervisor = await stack.start_supervisor(FLOTILLA_SPAWN_CONCURRENCY="4", FLOTILLA_MAX_FAILURES="2")
    detail = await until_told(stack, "spawns_fail", cause="descriptors")
    assert "ulimit -Hn" in detail["remedy"]

    async def settled() -> bool:
        statuses = (await stack.statuses()).values()
        return all(status.ready or status.reason == "spawn_failed" for status in statuses)

    await until(settled, "those that have room are READY, the others wait")
    statuses = await stack.statuses()
    before = {bot_id for bot_id, status in statuses.items() if status.ready}
    waiting = statuses.keys() - before
    assert before
    assert waiting
    assert {status.failures for status in statuses.values()} == {0}
    for bot_id in before:
        await stack.bots.want(bot_id, Desired.STOPPED)

    async def healed() -> bool:
        statuses = await stack.statuses()
        return any(statuses[bot_id].ready for bot_id in waiting)

    await until(healed, "others come up by themselves", 60)
    assert supervisor.process.returncode is None
    assert len([row for row in await told(stack, "spawns_fail") if row["cause"] == "descriptors"]) <= 2
    assert len(ids) == BOTS


def test_a_process_that_cannot_be_looked_at_is_not_taken_for_dead() -> None:
    code = """
import os, resource, sys
from supervisor.processes import WorkerProcess, start_ticks
pid, started_at = os.getppid(), start_ticks(os.getppid())
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
while True:
    try:
        held.append(os.dup(0))
    except OSError:
        break
found = WorkerProcess.find(pid, started_at)
gone = WorkerProcess.find(2**22 - 7, 1)
os.close(held.pop()); os.close(held.pop())
print(found is not None and found.started_at == started_at, gone is None, WorkerProcess.find(pid, 1) is None)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["True", "True", "True"]


def test_room_for_workers_is_counted_also_when_it_has_holes() -> None:
    code = f"""
import os, resource
from supervisor.host_faults import require_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
require_descriptors(0)
held = [os.dup(0) for _ in range(190)]
try:
    require_descriptors(0)
except OSError as fault:
    print(fault.errno)
for descriptor in held[:{DESCRIPTORS_KEPT + 8}]:
    os.close(descriptor)
require_descriptors(0)
print("room")
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["24", "room"]
