"""When this supervisor stood still: nobody is judged before they were heard again, and an operator is told."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from flotilla.domain.awake import AwakeClock
from flotilla.domain.worker import State
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet

TICK_S = 0.05
TOLD_S = 2.0
"""What is shorter, a busy host does to every program."""

HEARD_S = 10.0
"""A bot that is not heard by then is nothing that is waited for; its deadline is."""

log = structlog.get_logger()


def suspended_s() -> float:
    """Return for how long the machine has been suspended since it booted. Source: clock_gettime(2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Stalls:
    """Calls `tick` every `TICK_S`, but not between a stall and the next look at what waits in the sockets."""

    def __init__(self, clock: AwakeClock, chronicle: Chronicle, fleet: Fleet, tick: Callable[[], None]) -> None:
        self._clock = clock
        self._chronicle = chronicle
        self._fleet = fleet
        self._tick = tick
        self._woke: tuple[float, datetime] | None = None
        self._missed_s = clock.missed_s
        self._suspended_s = suspended_s()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            if self._clock.may_judge():
                self._tick()
            else:
                self._tell()
            if self._woke is not None:
                self._hear(*self._woke)
            await asyncio.sleep(TICK_S)

    def _tell(self) -> None:
        missed_s, self._missed_s = self._clock.missed_s - self._missed_s, self._clock.missed_s
        asleep, self._suspended_s = suspended_s() - self._suspended_s, suspended_s()
        if missed_s >= TOLD_S or asleep >= TOLD_S:
            self._woke = time.monotonic(), datetime.now(UTC)
            self._chronicle.note("supervisor_stalled", missed_s=round(missed_s, 1), suspended_s=round(asleep, 1))

    def _hear(self, woke: float, woke_at: datetime) -> None:
        """Say when every bot that serves has been heard again."""
        serving = [member.heartbeat_at for member in self._fleet if member.worker.state is State.RUNNING]
        heard = sum(at is not None and at >= woke_at for at in serving)
        after_s = time.monotonic() - woke
        if heard == len(serving) or after_s > HEARD_S:
            self._woke = None
            log.info("supervisor.caught_up", bots=len(serving), heard=heard, after_s=round(after_s, 2))
