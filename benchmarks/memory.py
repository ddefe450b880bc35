"""What a bot costs in memory: forked from a warm parent, and as a cold process."""

import asyncio
import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender, competing
from benchmarks.ours import Flotilla
from benchmarks.peers import Supervisord
from benchmarks.processes import Footprint, role
from benchmarks.report import Result, Target, megabytes

SETTLE_S = 3.0
MERGE_S = 40.0
KSM = Path("/sys/kernel/mm/ksm")
MERGING = {"run": "1", "pages_to_scan": "5000", "sleep_millisecs": "20"}
"""How the kernel merges while that is measured; these switches are the whole host's, and are put back afterwards."""

TARGET_USS_BYTES = 10.5e6
COLD_BOTS = 10
"""USS of a cold process does not depend on how many there are."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A fleet at rest: its workers, and what manages them by role."""

    workers: list[Footprint]
    managers: dict[str, Footprint]

    def a_bot(self) -> float:
        """Return everything together, per bot: PSS adds up without counting anything twice."""
        everything = [*self.workers, *self.managers.values()]
        return sum(footprint.pss for footprint in everything) / len(self.workers)


@contextlib.contextmanager
def merging() -> Iterator[bool]:
    """Have the kernel merge pages meanwhile; yield whether it can be had to."""
    try:
        before = {name: (KSM / name).read_text() for name in MERGING}
        for name, value in MERGING.items():
            (KSM / name).write_text(value)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        for name, value in before.items():
            (KSM / name).write_text(value)


async def measure(contender: Contender, bots: int, settle_s: float = SETTLE_S) -> Sample:
    """Start `bots` bots, let them settle, measure everybody."""
    async with competing(contender, bots):
        await contender.start()
        await contender.wait_ready()
        await asyncio.sleep(settle_s)
        family = contender.family()
        workers = [Footprint.of(worker) for worker in family.workers.values()]
        return Sample(workers, {role(manager): Footprint.of(manager) for manager in family.managers})


async def run(bots: int) -> Result:
    """Compare a fleet of `bots` workers with cold processes."""
    ours = await measure(Flotilla(), bots)
    with merging() as can_merge:
        merged = await measure(Flotilla(merge_memory=True), bots, MERGE_S) if can_merge else None
    cold_bots = min(bots, COLD_BOTS)
    cold = await measure(Supervisord(), cold_bots)
    uss = statistics.median(worker.uss for worker in ours.workers)
    cold_uss = statistics.median(worker.uss for worker in cold.workers)
    rows = [_row(f"Flotilla worker (of {bots})", ours.workers)]
    rows += [_row(f"Flotilla {role}", [footprint]) for role, footprint in ours.managers.items()]
    rows += [("Flotilla, all together, a bot", "", megabytes(ours.a_bot()), "")]
    merged_targets = []
    if merged is not None:
        merged_uss = statistics.median(worker.uss for worker in merged.workers)
        rows += [_row(f"Flotilla worker (of {bots}), FLOTILLA_MERGE_MEMORY", merged.workers)]
        rows += [("Flotilla, all together, a bot, FLOTILLA_MERGE_MEMORY", "", megabytes(merged.a_bot()), "")]
        promise = f"≤ {megabytes(TARGET_USS_BYTES)} USS a worker with FLOTILLA_MERGE_MEMORY"
        merged_targets = [Target(promise, megabytes(merged_uss), merged_uss <= TARGET_USS_BYTES)]
    rows += [_row(f"cold process (of {cold_bots})", cold.workers)]
    rows += [(f"cold, {Supervisord.name} included, a bot", "", megabytes(cold.a_bot()), "")]
    return Result(
        title=f"memory: {bots} workers at rest",
        columns=("process", "USS, median", "PSS, median", "USS, largest"),
        rows=tuple(rows),
        targets=(
            Target(
                f"≤ {megabytes(TARGET_USS_BYTES)} USS a worker",
                f"{megabytes(uss)}, a cold process {megabytes(cold_uss)}, {cold_uss / uss:.1f} times as much",
                uss <= TARGET_USS_BYTES,
            ),
            *merged_targets,
        ),
        raw={
            "worker_uss_bytes": [worker.uss for worker in ours.workers],
            "worker_pss_bytes": [worker.pss for worker in ours.workers],
            "merged_worker_uss_bytes": [worker.uss for worker in merged.workers] if merged else [],
            "cold_uss_bytes": [worker.uss for worker in cold.workers],
            "cold_pss_bytes": [worker.pss for worker in cold.workers],
            "managers_uss_bytes": {role: footprint.uss for role, footprint in ours.managers.items()},
            "managers_pss_bytes": {role: footprint.pss for role, footprint in ours.managers.items()},
        },
    )


def _row(name: str, footprints: list[Footprint]) -> tuple[str, ...]:
    uss = [footprint.uss for footprint in footprints]
    pss = statistics.median(footprint.pss for footprint in footprints)
    return (name, megabytes(statistics.median(uss)), megabytes(pss), megabytes(max(uss)))
