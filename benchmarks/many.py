"""Many bots at once on Flotilla alone: what its supervisor costs at rest, and how a new one takes them all over."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.contenders import competing
from benchmarks.field import Field
from benchmarks.ours import Flotilla
from benchmarks.processes import Footprint, cpu_s, role
from benchmarks.report import Result, Target, megabytes
from tests.stack import alive, until

BOTS, QUICK_BOTS = 500, 20
REST_S, QUICK_REST_S = 60.0, 3.0
SETTLE_S = 10.0
ADOPT_TIMEOUT_S = 60.0
HEARD_TIMEOUT_S = 30.0
TARGET_SHARE, TARGET_BYTES, TARGET_ADOPTION_S = 0.05, 120e6, 2.0


@dataclass(frozen=True, slots=True)
class Rest:
    """A fleet at rest. CPU as shares of one core, memory in bytes; of the managers by role."""

    shares: dict[str, float]
    managers: dict[str, Footprint]
    supervisor_rss: int
    workers: list[Footprint]


@dataclass(frozen=True, slots=True)
class Adoption:
    """A supervisor killed and started anew. Seconds are from the kill.

    took_over_s: until the new one held every process. connected_s: until the last worker was connected to it, too.
    lost: workers that ended, and sessions begun or resumed meanwhile.
    """

    took_over_s: float
    connected_s: float
    lost: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One fleet. ready_s: from the start command to the last READY."""

    ready_s: float
    rest: Rest
    adoption: Adoption


async def measure(bots: int, rest_s: float) -> Sample:
    """Start a fleet, leave it alone, and kill its supervisor."""
    contender = Flotilla()
    async with competing(contender, bots) as field:
        began = time.perf_counter()
        await contender.start()
        await contender.wait_ready()
        ready_s = time.perf_counter() - began
        await asyncio.sleep(SETTLE_S)
        rest = await _at_rest(contender, rest_s)
        return Sample(ready_s, rest, await _adoption(contender, field))


async def _at_rest(contender: Flotilla, rest_s: float) -> Rest:
    family = contender.family()
    by_role = {role(manager): manager for manager in family.managers}
    of_workers = [worker.pid for worker in family.workers.values()]
    before = _used_s(by_role, of_workers)
    began = time.perf_counter()
    await asyncio.sleep(rest_s)
    passed_s, after = time.perf_counter() - began, _used_s(by_role, of_workers)
    return Rest(
        {name: (after[name] - before[name]) / passed_s for name in after},
        {name: Footprint.of(manager) for name, manager in by_role.items()},
        by_role["supervisor"].memory_info().rss,
        [Footprint.of(worker) for worker in family.workers.values()],
    )


def _used_s(by_role: dict[str, psutil.Process], of_workers: list[int]) -> dict[str, float]:
    used_s = {name: cpu_s(manager.pid) for name, manager in by_role.items()}
    return used_s | {"all workers": sum(cpu_s(pid) for pid in of_workers)}


async def _adoption(contender: Flotilla, field: Field) -> Adoption:
    workers = list(contender.family().workers.values())
    begun, killed_at, began = await field.begun_by_all(), datetime.now(UTC), time.perf_counter()
    program = await contender.crash_supervisor()
    await until(lambda: '"supervisor.started"' in program.text(), "the new supervisor has taken over", ADOPT_TIMEOUT_S)
    took_over_s = time.perf_counter() - began
    socket = str(field.stack.settings.control_socket)
    await until(lambda: _connections(socket) >= len(workers), "every worker is connected", ADOPT_TIMEOUT_S)
    connected_s = time.perf_counter() - began

    async def heard() -> bool:
        statuses = (await field.stack.statuses()).values()
        return all(status.heartbeat_at and status.heartbeat_at > killed_at for status in statuses)

    await until(heard, "the new supervisor has heard of every worker", HEARD_TIMEOUT_S)
    ended = sum(not (worker.is_running() and alive(worker.pid)) for worker in workers)
    return Adoption(took_over_s, connected_s, ended + abs(await field.begun_by_all() - begun))


def _connections(socket: str) -> int:
    """Return how many connections to a Unix socket its server has accepted.

    Source: proc_net_unix(5): state 3 is connected; a connection that was not accepted yet has no inode.
    """
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(socket))
    return sum(row[5] == "03" and row[6] != "0" for row in rows)


async def run(bots: int, rest_s: float) -> Result:
    """Measure once."""
    sample = await measure(bots, rest_s)
    rest, adoption = sample.rest, sample.adoption
    uss = statistics.median(worker.uss for worker in rest.workers)
    pss = sum(footprint.pss for footprint in (*rest.workers, *rest.managers.values()))
    share, size = rest.shares["supervisor"], rest.supervisor_rss
    found = {
        "from the start command to all READY": f"{sample.ready_s:.2f} s",
        "supervisor at rest, of a core": f"{share:.1%}",
        "all workers together at rest, of a core": f"{rest.shares['all workers']:.1%}",
        "supervisor's RSS": megabytes(size),
        "supervisor's USS": megabytes(rest.managers["supervisor"].uss),
        "a worker's USS, median": megabytes(uss),
        "PSS of everything": f"{pss / 1e9:.2f} GB",
        "SIGKILL of the supervisor to all processes held": f"{adoption.took_over_s:.2f} s",
        "SIGKILL of the supervisor to all workers connected": f"{adoption.connected_s:.2f} s",
        "workers ended, sessions begun or resumed meanwhile": str(adoption.lost),
    }
    return Result(
        title=f"many: {bots} bots at once, {rest_s:g} s at rest, then SIGKILL of their supervisor",
        columns=("what", "measured"),
        rows=tuple(found.items()),
        targets=(
            Target(f"supervisor ≤ {TARGET_SHARE:.0%} of a core", f"{share:.1%}", share <= TARGET_SHARE),
            Target(f"supervisor ≤ {megabytes(TARGET_BYTES)}", f"{megabytes(size)} RSS", size <= TARGET_BYTES),
            Target(
                f"all adopted within {TARGET_ADOPTION_S:g} s, none disconnected",
                f"{adoption.connected_s:.2f} s, {adoption.lost} disconnected",
                adoption.connected_s <= TARGET_ADOPTION_S and not adoption.lost,
            ),
        ),
        raw={
            "ready_s": sample.ready_s,
            "cpu_shares": rest.shares,
            "supervisor_rss_bytes": size,
            "managers_uss_bytes": {name: footprint.uss for name, footprint in rest.managers.items()},
            "worker_uss_bytes": [worker.uss for worker in rest.workers],
            "fleet_pss_bytes": pss,
            "took_over_s": adoption.took_over_s,
            "connected_s": adoption.connected_s,
            "lost": adoption.lost,
        },
    )
