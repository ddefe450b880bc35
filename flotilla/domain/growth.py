"""How fast a worker's memory grows, and when that reaches its limit: from a short, bounded history of low points.

What matters is what a worker does not give back, so of each stretch of time only the lowest reading is kept: garbage
that comes and goes between two collections is no growth. Times are monotonic seconds, sizes bytes.
"""

import math
from dataclasses import dataclass
from statistics import median

POINTS = 24
FINEST_S = 1.0
COARSEST_S = 64.0
"""Stretches begin at a second and double whenever `POINTS` are full, so a history is quick at first and 25 min long in
the end. A leak that begins in a worker that has been level for hours shows after some six minutes."""

FEWEST = 8
MIN_GROWTH_BYTES = 1024 * 1024
LOOK_AHEAD = 4
LEVELLING = 0.85
"""Growth that is slower than this share of what it was before is taken to go on slowing down: a cache that fills.
Together with `LOOK_AHEAD`, nothing being foretold for longer than so many times what was seen, this tells a cache that
fills like 1 - exp(-t) up to 75 % of the limit from a leak at every moment."""

GIVEN_BACK = 0.25
"""A worker that has given back more than this share of what it grew by is not on its way to its limit."""


@dataclass(frozen=True, slots=True)
class Trend:
    """slope_bytes_s: how fast it grows now. full_in_s: seconds until its limit if that goes on; None: not in sight."""

    slope_bytes_s: float
    full_in_s: float | None


@dataclass(frozen=True, slots=True)
class History:
    """Low points as (time, bytes), oldest first, each of a stretch of `width_s` that began at its `begins`."""

    width_s: float = FINEST_S
    begins: tuple[float, ...] = ()
    points: tuple[tuple[float, int], ...] = ()

    def add(self, at: float, used_bytes: int) -> "History":
        """Return the history with a reading that is not older than those before."""
        if self.begins and at - self.begins[-1] < self.width_s:
            lowest = min(self.points[-1], (at, used_bytes), key=_size)
            return History(self.width_s, self.begins, (*self.points[:-1], lowest))
        grown = History(self.width_s, (*self.begins, at), (*self.points, (at, used_bytes)))
        while len(grown.points) > POINTS:
            # Readings that come seldom lie in stretches of their own even when those are twice as long.
            if grown.width_s < COARSEST_S:
                grown = grown.coarser()
            else:
                grown = History(grown.width_s, grown.begins[1:], grown.points[1:])
        return grown

    def coarser(self) -> "History":
        """Return the history with stretches twice as long: of two low points the lower stays."""
        merged = History(self.width_s * 2)
        for began, point in zip(self.begins, self.points, strict=True):
            if merged.begins and began - merged.begins[-1] < merged.width_s:
                lowest = min(merged.points[-1], point, key=_size)
                merged = History(merged.width_s, merged.begins, (*merged.points[:-1], lowest))
            else:
                merged = History(merged.width_s, (*merged.begins, began), (*merged.points, point))
        return merged

    def trend(self, limit_bytes: int, least_s: float) -> Trend | None:
        """Return how memory grows, None while too little was seen to tell: less than `least_s`, or too few points.

        The slope is that of the younger half (Theil-Sen: the median over all pairs, which a third of outliers cannot
        move). If the older half grew faster, the worker is taken to level off: each half to come grows by the same
        share less, and the sum of all that may stay below the limit.
        """
        span_s = self.points[-1][0] - self.points[0][0] if self.points else 0.0
        if len(self.points) < FEWEST or span_s < least_s:
            return None
        grown = self.points[-1][1] - self.points[0][1]
        if grown < max(MIN_GROWTH_BYTES, limit_bytes // 100):
            return Trend(grown / span_s, None)
        if self._largest_fall() > GIVEN_BACK * grown:
            return Trend(grown / span_s, None)
        middle = len(self.points) // 2
        older, younger = _slope(self.points[: middle + 1]), _slope(self.points[middle:])
        missing = limit_bytes - self.points[-1][1]
        full_in_s = _full_in_s(missing, older, younger, self.points[-1][0] - self.points[middle][0])
        return Trend(younger, full_in_s if full_in_s <= LOOK_AHEAD * span_s else None)

    def _largest_fall(self) -> int:
        high = fall = 0
        for _, used_bytes in self.points:
            high = max(high, used_bytes)
            fall = max(fall, high - used_bytes)
        return fall


def _size(point: tuple[float, int]) -> int:
    return point[1]


def _slope(points: tuple[tuple[float, int], ...]) -> float:
    return median(
        (later - earlier) / (then - when)
        for index, (when, earlier) in enumerate(points)
        for then, later in points[index + 1 :]
        if then > when
    )


def _full_in_s(missing_bytes: int, older: float, younger: float, half_s: float) -> float:
    """Return seconds until `missing_bytes` are used, infinity if never. older, younger: bytes per second."""
    if missing_bytes <= 0:
        return 0.0
    if younger <= 0:
        return math.inf
    share = younger / older if older > 0 else 1.0
    if share >= LEVELLING:
        return missing_bytes / younger
    # The next half grows by younger * half_s * share, the one after by that times share, and so on.
    still = 1 - missing_bytes * (1 - share) / (younger * half_s * share)
    return half_s * math.log(still) / math.log(share) if still > 0 else math.inf
