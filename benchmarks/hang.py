"""Bots that live and do not work: how long until one is READY again, with the settings as they come.

No peer is asked: supervisord, circus and PM2 do not look into a process unless its code is changed for them.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.contenders import competing
from benchmarks.field import Application, Field
from benchmarks.ours import Flotilla
from benchmarks.report import Result, Target

EXTENSION = "benchmarks.extensions.blocking"
SETTLE_S = 3.0
APART_S = 0.7


@dataclass(frozen=True, slots=True)
class Ailment:
    """strike: what befalls a bot. target_s: from then to READY again."""

    name: str
    strike: Callable[[Field, Application], Awaitable[None]]
    target_s: float


async def _block(field: Field, bot: Application) -> None:
    await field.use(bot, "block")


AILMENTS = (Ailment("blocked event loop", _block, 12.0),)
"""A deaf session (the sandbox's fault `deaf`, 90 s) comes here with the delivery probe."""


async def measure(ailment: Ailment, bots: int) -> list[float]:
    """Strike every bot of a fleet once, one shortly after the other; return seconds from each stroke to READY."""
    async with competing(contender := Flotilla(extensions=(EXTENSION,)), bots) as field:
        await contender.start()
        await contender.wait_ready()
        await asyncio.sleep(SETTLE_S)

        async def one(number: int, bot: Application) -> float:
            await asyncio.sleep(number * APART_S)
            before, began = await field.begun(bot), time.perf_counter()
            await ailment.strike(field, bot)
            await field.ready_again(bot, before)
            return time.perf_counter() - began

        return await asyncio.gather(*(one(number, bot) for number, bot in enumerate(field.bots)))


async def run(bots: int) -> Result:
    """Measure every ailment on `bots` bots."""
    samples = {ailment: await measure(ailment, bots) for ailment in AILMENTS}
    return Result(
        title="hang: from the ailment to READY again, default settings",
        columns=("ailment", "bots", "median", "best", "worst"),
        rows=tuple(
            (
                ailment.name,
                str(len(taken)),
                f"{statistics.median(taken):.1f} s",
                f"{min(taken):.1f} s",
                f"{max(taken):.1f} s",
            )
            for ailment, taken in samples.items()
        ),
        targets=tuple(
            Target(f"{ailment.name} ≤ {ailment.target_s:g} s", f"{max(taken):.1f} s", max(taken) <= ailment.target_s)
            for ailment, taken in samples.items()
        ),
        raw={ailment.name: taken for ailment, taken in samples.items()},
    )
