"""A supervisor that is stopped for 12 s: what its bots notice, and how soon it has heard them all again.

No peer is asked: none of them listens to what it runs.
"""

import asyncio

from benchmarks.contenders import competing
from benchmarks.ours import Flotilla
from benchmarks.report import Result, Target

STALLED_S = 12.0
JUDGED_S = 10.0
"""The liveness timeout and more: whoever was taken for silent is killed by then."""

HEARD_S = 0.5


async def run(bots: int, stalls: int) -> Result:
    """Stop the supervisor of `bots` bots so many times."""
    heard_s = []
    async with competing(contender := Flotilla(), bots) as field:
        await contender.start()
        await contender.wait_ready()
        begun = await field.begun_by_all()
        for number in range(1, stalls + 1):
            await contender.stall_supervisor(STALLED_S)
            heard_s.append(await contender.caught_up_s(number))
            await asyncio.sleep(JUDGED_S)
        touched = await field.begun_by_all() - begun
    return Result(
        title=f"stall: the supervisor is stopped for {STALLED_S:g} s",
        columns=("bots", "stalls", "sessions begun or resumed", "all beats read, worst"),
        rows=((str(bots), str(stalls), str(touched), f"{max(heard_s):.2f} s"),),
        targets=(
            Target("no bot touched", f"{touched} sessions", touched == 0),
            Target(f"all beats read ≤ {HEARD_S:g} s", f"{max(heard_s):.2f} s", max(heard_s) <= HEARD_S),
        ),
        raw={"heard_s": heard_s, "touched": touched},
    )
