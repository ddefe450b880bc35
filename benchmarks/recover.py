"""From SIGKILL of a bot's process to the bot READY again."""

import asyncio
import itertools
import statistics
import time
from dataclasses import dataclass

from benchmarks.contenders import Contender, competing
from benchmarks.peers import Setup, everyone
from benchmarks.report import OURS, Result, Target, milliseconds, percentile, ratio_to_best

FLEET = 5
SETTLE_S = 3.0
BETWEEN_KILLS_S = 1.2
"""A bot is killed again only when it has been up for longer than any manager calls a failed start (1 s)."""

TARGET_S, TARGET_P99_S = 0.08, 0.3
TARGET_NOTICED_S = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One kill. noticed_s: until the manager wrote of it, None where a manager does not write so."""

    ready_s: float
    noticed_s: float | None


async def measure(contender: Contender, kills: int) -> list[Sample]:
    """Kill bots of a fleet at rest in turns, one at a time."""
    samples = []
    async with competing(contender, FLEET) as field:
        await contender.start()
        await contender.wait_ready()
        await asyncio.sleep(SETTLE_S)
        for bot in itertools.islice(itertools.cycle(field.bots), kills):
            before = await field.begun(bot)
            kill = await contender.kill_one(bot)
            await field.ready_again(bot, before)
            ready_s = time.perf_counter() - kill.at
            samples.append(Sample(ready_s, await contender.noticed_s(kill)))
            await contender.rest(bot)
            await asyncio.sleep(BETWEEN_KILLS_S)
    return samples


async def run(kills: int, repeat: int) -> Result:
    """Take `kills` samples of Flotilla and a third as many, at least 2, of each peer, in each of `repeat` turns."""
    samples: dict[str, list[Sample]] = {name: [] for name, _ in everyone(Setup(quick=True))}
    for _ in range(repeat):
        for name, make in everyone(Setup(quick=True)):
            samples[name] += await measure(make(), kills if name == OURS else max(2, kills // 3))
    times = {name: [sample.ready_s for sample in taken] for name, taken in samples.items()}
    noticed = {name: [s.noticed_s for s in taken if s.noticed_s is not None] for name, taken in samples.items()}
    ours_s, ours_p99_s = statistics.median(times[OURS]), percentile(times[OURS], 99)
    ours_noticed_s = statistics.median(noticed[OURS])
    rows = [
        (
            name,
            str(len(taken)),
            milliseconds(statistics.median(taken)),
            milliseconds(min(taken)),
            milliseconds(percentile(taken, 99)),
            f"{statistics.median(taken) / ours_s:.1f}",
            *_noticed(noticed[name]),
        )
        for name, taken in times.items()
    ]
    return Result(
        title=f"recover: SIGKILL to READY, one of {FLEET} bots at rest",
        columns=("contender", "kills", "median", "best", "p99", "ratio", "death noticed", "p99"),
        rows=tuple(rows),
        targets=(
            Target(
                f"median ≤ {milliseconds(TARGET_S)}",
                f"{milliseconds(ours_s)}, the best peer takes {ratio_to_best(times):.1f} times as long",
                ours_s <= TARGET_S,
            ),
            Target(f"p99 ≤ {milliseconds(TARGET_P99_S)}", milliseconds(ours_p99_s), ours_p99_s <= TARGET_P99_S),
            Target(
                f"death noticed ≤ {milliseconds(TARGET_NOTICED_S)}",
                f"median {ours_noticed_s * 1000:.1f} ms",
                ours_noticed_s <= TARGET_NOTICED_S,
            ),
        ),
        raw={name: [[sample.ready_s, sample.noticed_s] for sample in taken] for name, taken in samples.items()},
    )


def _noticed(taken: list[float]) -> tuple[str, str]:
    if not taken:
        return "", ""
    return f"{statistics.median(taken) * 1000:.1f} ms", f"{percentile(taken, 99) * 1000:.1f} ms"
