"""A bot that leaks 100 MB a second: how far it gets beyond the limit that its manager was given."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.contenders import Contender, competing
from benchmarks.extensions.leaking import BYTES_PER_S
from benchmarks.peers import Setup, everyone
from benchmarks.processes import PeakWatch
from benchmarks.report import OURS, Result, Target, megabytes
from flotilla.domain.policy import MIB

EXTENSION = "benchmarks.extensions.leaking"
LIMIT_MB = 512
STOP_BYTES, QUICK_STOP_BYTES = 4e9, 0.6e9
"""Where a contender is stopped, so that the benchmark leaves the machine some memory."""

LEAKS = 5
LOOK_S = 0.01
SETTLE_S = 3.0
TIMEOUT_S = 120.0
TARGET_OVER = 1.05


@dataclass(frozen=True, slots=True)
class Sample:
    """One leak. peak_bytes: USS. lasted_s: until the process ended. ready_s: until the bot was READY again.

    stopped: we ended it because it had passed the safety stop; then nothing is told of READY.
    """

    peak_bytes: int
    lasted_s: float
    ready_s: float | None
    stopped: bool
    looks: int


async def measure(contender: Contender, stop_bytes: float) -> Sample:
    """Let one bot leak once. Its manager has nothing else to look after."""
    async with competing(contender, 1) as field:
        (bot,) = field.bots
        await contender.start()
        await contender.wait_ready()
        await asyncio.sleep(SETTLE_S)
        before = await field.begun(bot)
        watch = PeakWatch(contender.family().workers[bot.name], LOOK_S, stop_bytes)
        try:
            began = time.perf_counter()
            await field.use(bot, "leak")
            while watch.ended_at is None:
                if time.perf_counter() - began > TIMEOUT_S:
                    raise TimeoutError(f"{contender.name}: the leaking bot still runs after {TIMEOUT_S:g} s")
                await asyncio.sleep(LOOK_S)
            ready_s = None
            if not watch.stopped:
                await field.ready_again(bot, before)
                ready_s = time.perf_counter() - began
        finally:
            watch.end()
        return Sample(watch.peak_bytes, watch.ended_at - began, ready_s, watch.stopped, watch.looks)


async def run(*, quick: bool = False) -> Result:
    """Let a bot of each contender leak once, ours `LEAKS` times. quick: of the peers only the last, and not far."""
    stop_bytes, repeat = (QUICK_STOP_BYTES, 1) if quick else (STOP_BYTES, LEAKS)
    contenders = everyone(Setup(extensions=(EXTENSION,), memory_limit_mb=LIMIT_MB))
    if quick:
        del contenders[1:-1]
    samples: dict[str, list[Sample]] = {}
    limit = LIMIT_MB * MIB
    for name, make in contenders:
        samples[name] = [await measure(make(), stop_bytes) for _ in range(repeat if name == OURS else 1)]
    worst = {name: max(taken, key=lambda sample: sample.peak_bytes) for name, taken in samples.items()}
    ours = worst[OURS].peak_bytes
    return Result(
        title=f"leak: {megabytes(BYTES_PER_S)} a second under a limit of {LIMIT_MB} MiB, the worst of each",
        columns=("contender", "leaks", "peak USS", "of the limit", "ended after", "READY again after"),
        rows=tuple(
            (
                name,
                str(len(samples[name])),
                megabytes(sample.peak_bytes),
                f"{sample.peak_bytes / limit:.1%}",
                f"{'stopped by us after ' if sample.stopped else ''}{sample.lasted_s:.1f} s",
                "" if sample.ready_s is None else f"{sample.ready_s:.1f} s",
            )
            for name, sample in worst.items()
        ),
        targets=(
            Target(
                f"never above {TARGET_OVER:.0%} of the limit",
                f"{ours / limit:.1%}; the best peer {_best(worst) / limit:.0%}",
                ours <= limit * TARGET_OVER,
            ),
        ),
        raw={
            name: [[s.peak_bytes, s.lasted_s, s.ready_s, s.stopped, s.looks] for s in taken]
            for name, taken in samples.items()
        },
    )


def _best(worst: dict[str, Sample]) -> int:
    return min(sample.peak_bytes for name, sample in worst.items() if name != OURS)
