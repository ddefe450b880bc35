"""Lines in the log that a stranger can cause: so many at once, then one now and then with how many were left out."""

import time
from collections import Counter
from collections.abc import Callable

import structlog

BURST = 10
EVERY_S = 10.0
log = structlog.get_logger()


class Sparingly:
    """Logs warnings: of each action and code at most `burst` in `every_s` seconds, so that they push out nothing else.

    The first line after a pause says how many were left out before it (`left_out`).
    """

    def __init__(
        self, burst: int = BURST, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._every_s = every_s
        self._clock = clock
        self._began: dict[tuple[str, str], float] = {}
        self._told: Counter[tuple[str, str]] = Counter()

    def warn(self, action: str, code: str, **fields: object) -> None:
        """Log a line, or count it. code: of a few that there are; never what a stranger chose."""
        key = (action, code)
        now = self._clock()
        left_out = 0
        if now - self._began.get(key, float("-inf")) >= self._every_s:
            left_out = max(0, self._told[key] - self._burst)
            self._began[key], self._told[key] = now, 0
        self._told[key] += 1
        if self._told[key] <= self._burst:
            more = {"left_out": left_out} if left_out else {}
            log.warning(action, code=code, **fields, **more)
