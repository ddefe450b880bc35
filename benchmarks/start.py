"""From the start command to every bot READY."""

import statistics
import time
from dataclasses import dataclass

from benchmarks.contenders import Contender, competing
from benchmarks.ours import FlotillaUp
from benchmarks.peers import Setup, everyone
from benchmarks.processes import cpu_s
from benchmarks.report import OURS, Result, Target, milliseconds, ratio_to_best, seconds

TIMES_FASTER = 20.0
TIMES_LESS_CPU = 40.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One start. CPU seconds used until the last bot was READY: by all workers, and by what manages them."""

    wall_s: float
    workers_cpu_s: float
    managers_cpu_s: float


async def measure(contender: Contender, bots: int) -> Sample:
    """Start `bots` bots once."""
    async with competing(contender, bots):
        began = time.perf_counter()
        await contender.start()
        await contender.wait_ready()
        wall_s = time.perf_counter() - began
        family = contender.family()
        workers_cpu_s = sum(cpu_s(worker.pid) for worker in family.workers.values())
        if len(family.workers) != bots:
            raise RuntimeError(f"{contender.name}: found {len(family.workers)} processes of {bots} bots")
        return Sample(wall_s, workers_cpu_s, sum(cpu_s(manager.pid) for manager in family.managers))


async def run(bots: int, repeat: int) -> Result:
    """Start everybody's bots `repeat` times, in turns."""
    makers = everyone(Setup())
    makers.insert(1, (FlotillaUp.name, FlotillaUp))
    samples: dict[str, list[Sample]] = {name: [] for name, _ in makers}
    for _ in range(repeat):
        for name, make in makers:
            samples[name].append(await measure(make(), bots))
    walls = {name: [sample.wall_s for sample in taken] for name, taken in samples.items()}
    cpus = {name: [sample.workers_cpu_s for sample in taken] for name, taken in samples.items()}
    ours_s, ours_cpu_s = statistics.median(walls[OURS]), statistics.median(cpus[OURS])
    rows = [
        (
            name,
            seconds(walls[name]),
            f"{statistics.median(walls[name]) / ours_s:.1f}",
            seconds(cpus[name]),
            milliseconds(statistics.median(cpus[name]) / bots),
            f"{statistics.median(cpus[name]) / ours_cpu_s:.1f}",
            seconds(sample.managers_cpu_s for sample in taken),
        )
        for name, taken in samples.items()
    ]
    ratio, cpu_ratio = ratio_to_best(walls), ratio_to_best(cpus)
    return Result(
        title=f"start: {bots} bots from the start command to all READY, median of {repeat}",
        columns=("contender", "wall", "ratio", "CPU, all workers", "CPU, a worker", "ratio", "CPU, manager"),
        rows=tuple(rows),
        targets=(
            Target(
                f"≥ {TIMES_FASTER:g} times faster than each peer",
                f"{ratio:.1f} times faster than the best",
                ratio >= TIMES_FASTER,
            ),
            Target(
                f"≥ {TIMES_LESS_CPU:g} times less CPU in workers than each peer",
                f"{cpu_ratio:.1f} times less than the best",
                cpu_ratio >= TIMES_LESS_CPU,
            ),
        ),
        raw={name: [[s.wall_s, s.workers_cpu_s, s.managers_cpu_s] for s in taken] for name, taken in samples.items()},
    )
