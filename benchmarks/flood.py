"""A bot whose worker floods its supervisor: what that costs, and whether others are still looked after.

No peer is asked: none of them listens to what it runs.
"""

import asyncio
import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from benchmarks.field import Field, open_field
from benchmarks.flooder import WAYS
from benchmarks.processes import cpu_s
from benchmarks.report import Result, Target
from flotilla.domain.worker import State
from flotilla.processes import start_ticks

SECONDS, QUICK_SECONDS = 15.0, 3.0
TARGET = 0.03
HEALED_S = 5.0
SECRET = b"s" * 32
STARTED = "import sys; sys.stdin.read(1); from benchmarks.flooder import main; main()"
BOTS = 2
UNJUDGED = {"FLOTILLA_LIVENESS_TIMEOUT_S": "3600"}
"""One that sends no heartbeat would be killed after 8 s, and cost nothing any more."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one way to flood, as shares of a core; healed_s: how long another bot was gone that crashed meanwhile."""

    idle: float
    flooded: float
    healed_s: float

    @property
    def own(self) -> float:
        """What the flood alone cost."""
        return max(0.0, self.flooded - self.idle)


async def run(seconds: float) -> Result:
    """Flood for so many seconds in each way."""
    costs = {way: await _flooded(way, seconds) for way in WAYS}
    worst, slowest_s = max(cost.own for cost in costs.values()), max(cost.healed_s for cost in costs.values())
    return Result(
        f"flood: one bot floods the supervisor for {seconds:g} s",
        ("it sends", "the supervisor beside that", "the flood", "another bot that crashed is READY after"),
        tuple(
            (way, f"{cost.idle:.2%} of a core", f"{cost.own:.2%} of a core", f"{cost.healed_s:.2f} s")
            for way, cost in costs.items()
        ),
        (
            Target(f"a flood costs ≤ {TARGET:.0%} of a core", f"{worst:.2%}", worst <= TARGET),
            Target(f"others are healed within {HEALED_S:g} s", f"{slowest_s:.2f} s", slowest_s <= HEALED_S),
        ),
        {"flood": {way: [cost.idle, cost.flooded, cost.healed_s] for way, cost in costs.items()}},
    )


async def _flooded(way: str, seconds: float) -> _Cost:
    async with open_field(BOTS) as field:
        flooding, honest = [await field.stack.add_bot(bot.name, token=bot.token) for bot in field.bots]
        flooder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STARTED, way, str(field.stack.settings.control_socket), flooding, "1", SECRET.hex(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await _claim(field, flooding, flooder.pid)
            supervisor = await field.stack.start_supervisor(**UNJUDGED)
            await field.stack.observed(honest, lambda status: status.ready, "the honest bot is READY")
            assert flooder.stdin is not None
            assert flooder.stdout is not None
            idle = await _share(supervisor.pid, seconds / 3)
            flooder.stdin.write(b"!")
            flooder.stdin.close()
            await flooder.stdout.readline()
            flooded = await _share(supervisor.pid, seconds)
            return _Cost(idle, flooded, await _healed_s(field, honest))
        finally:
            flooder.kill()
            await flooder.wait()


async def _claim(field: Field, bot_id: str, pid: int) -> None:
    """Have the next supervisor take a process for a bot's worker."""
    status = replace(
        await field.stack.status(bot_id),
        state=State.RUNNING,
        ready=True,
        generation=1,
        pid=pid,
        process_started_at=start_ticks(pid),
        secret_hash=hashlib.sha256(SECRET).digest(),
        since=datetime.now(UTC),
    )
    await field.stack.store.save([status], [])


async def _share(pid: int, seconds: float) -> float:
    began, before = time.perf_counter(), cpu_s(pid)
    await asyncio.sleep(seconds)
    return (cpu_s(pid) - before) / (time.perf_counter() - began)


async def _healed_s(field: Field, bot_id: str) -> float:
    status = await field.stack.status(bot_id)
    os.kill(status.pid or 0, signal.SIGKILL)
    began = time.perf_counter()
    await field.stack.observed(
        bot_id, lambda found: found.generation > status.generation and found.ready, "it is healed during the flood"
    )
    return time.perf_counter() - began
