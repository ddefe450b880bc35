"""An event loop whose time leaves out what this program slept through; every timer of asyncio's goes by it.

So a deadline that was asked of asyncio (`asyncio.timeout`, `wait_for`, `call_later`), or that is compared with the
loop's `time()`, is never passed because this supervisor was stopped: nobody is late for somebody who was not there.
What must go by the clock on the wall, as Discord's limits do, asks for CLOCK_BOOTTIME or the time of day.
"""

import asyncio
import selectors
import time

from flotilla.domain.awake import AwakeClock

WAIT_S = 0.1
"""No wait for sockets is longer, or it could not be told from a stall. The supervisor's own tick comes sooner."""

_Ready = list[tuple[selectors.SelectorKey, int]]


class _Selector(selectors.DefaultSelector):
    """Tells the clock of each wait for sockets."""

    def __init__(self, clock: AwakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> _Ready:
        # Several times for each message of each bot, so written for speed.
        asked_s = WAIT_S if timeout is None or timeout > WAIT_S else timeout
        if asked_s > 0.0:
            self._clock.waits(time.monotonic())
        else:
            asked_s = 0.0
        ready = super().select(asked_s)
        self._clock.looked(time.monotonic(), asked_s)
        return ready


class AwakeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with `AwakeClock` for its time."""

    def __init__(self) -> None:
        self.clock = AwakeClock(time.monotonic())
        super().__init__(_Selector(self.clock))

    def time(self) -> float:
        """Return seconds that this program was awake for, comparable with nothing but themselves."""
        return self.clock.read(time.monotonic())
