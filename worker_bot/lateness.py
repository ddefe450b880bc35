"""Whether an interaction is seen too late for its 3 s. Pure: no clock, no I/O. Times are milliseconds.

An interaction's id says when Discord made it, but by Discord's clock. The smallest age seen lately is taken for the
difference of the clocks and the way, so what an interaction is older than that, it has waited.
"""

from typing import Final

from flotilla.discord import EPOCH_MS

TOO_LATE_MS: Final = 2_900.0
"""An answer takes its way too; one that leaves with less than 100 ms left is void when it arrives."""

UNKNOWN_CLOCK_MS: Final = 10_000.0
"""How far off this host's clock may be before the first interaction shows how far it is."""

WINDOW_MS: Final = 1_800_000.0
LAGGED_MS: Final = 500.0
"""An event loop that is so much behind has kept events waiting."""


def made_at_ms(snowflake: int) -> float:
    """Return when Discord made an id, in Unix milliseconds."""
    return float((snowflake >> 22) + EPOCH_MS)


class Lateness:
    """Judges ages. Only in the moments in which something is known to have kept events waiting is any too late.

    So a clock that jumps, or a machine that slept, costs no interaction at any other time.
    """

    def __init__(self) -> None:
        self._least: list[float | None] = [None, None]
        self._turned_at = 0.0

    def waited_ms(self, snowflake: int, now: float, *, replayed: bool) -> float:
        """Return how long an interaction has waited, at least 0.

        now: Unix milliseconds by a clock that does not jump. replayed: Discord sends it after a RESUME; its age says
        nothing of the clock.
        """
        age, least = now - made_at_ms(snowflake), self._baseline(now)
        if least is None and replayed:
            return max(0.0, age - UNKNOWN_CLOCK_MS)
        if not replayed:
            self._least[0] = age if self._least[0] is None else min(self._least[0], age)
        return 0.0 if least is None else max(0.0, age - least)

    def _baseline(self, now: float) -> float | None:
        if now - self._turned_at > WINDOW_MS:
            self._least, self._turned_at = [None, self._least[0]], now
        return min((each for each in self._least if each is not None), default=None)


class Lag:
    """How far the event loop is behind, by heartbeats that come every so often. Times are monotonic seconds."""

    def __init__(self, remember_s: float = 10.0) -> None:
        self._remember_s = remember_s
        self._next_at: float | None = None
        self._lagged_at = float("-inf")

    def beat(self, now: float, every_s: float) -> None:
        """Take note of a heartbeat; the next one comes in `every_s`."""
        self.is_late(now)
        self._next_at = now + every_s

    def is_late(self, now: float) -> bool:
        """Return whether the loop was behind within the last seconds."""
        if self._next_at is not None and now - self._next_at > LAGGED_MS / 1000:
            self._lagged_at = now
        return now - self._lagged_at <= self._remember_s
