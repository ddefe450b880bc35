"""From SIGKILL of a bot's process to the bot READY again."""

import asyncio
import itertools
import statistics
import time

from benchmarks.contenders import Contender, competing, everyone
from benchmarks.report import OURS, Result, Target, milliseconds, percentile, ratio_to_best

FLEET = 5
SETTLE_S = 3.0
BETWEEN_KILLS_S = 1.2
"""A bot is killed again only when it has been up for longer than any manager calls a failed start (1 s)."""

TARGET_S = 0.15


async def measure(contender: Contender, kills: int) -> list[float]:
    """Kill bots of a fleet at rest in turns, one at a time; return seconds from each kill to READY."""
    samples = []
    async with competing(contender, FLEET) as field:
        await contender.start()
        await contender.wait_ready()
        await asyncio.sleep(SETTLE_S)
        for bot in itertools.islice(itertools.cycle(field.bots), kills):
            before = await field.begun(bot)
            began = await contender.kill_one(bot)
            await field.ready_again(bot, before)
            samples.append(time.perf_counter() - began)
            await contender.rest(bot)
            await asyncio.sleep(BETWEEN_KILLS_S)
    return samples


async def run(kills: int, repeat: int) -> Result:
    """Take `kills` samples of Flotilla and a third as many, at least 2, of each peer, in each of `repeat` turns."""
    samples: dict[str, list[float]] = {name: [] for name, _ in everyone(quick=True)}
    for _ in range(repeat):
        for name, make in everyone(quick=True):
            samples[name] += await measure(make(), kills if name == OURS else max(2, kills // 3))
    ours_s = statistics.median(samples[OURS])
    rows = [
        (
            name,
            str(len(taken)),
            milliseconds(statistics.median(taken)),
            milliseconds(min(taken)),
            milliseconds(percentile(taken, 99)),
            f"{statistics.median(taken) / ours_s:.1f}",
        )
        for name, taken in samples.items()
    ]
    ratio = ratio_to_best(samples)
    return Result(
        title=f"recover: SIGKILL to READY, one of {FLEET} bots at rest",
        columns=("contender", "kills", "median", "best", "p99", "ratio"),
        rows=tuple(rows),
        targets=(
            Target(
                f"median ≤ {milliseconds(TARGET_S)}",
                f"{milliseconds(ours_s)}, the best peer takes {ratio:.1f} times as long",
                ours_s <= TARGET_S,
            ),
        ),
        raw=dict(samples),
    )
