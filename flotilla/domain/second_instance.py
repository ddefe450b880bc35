"""Whether another process acts with a bot's token, told by what only that can bring about. Pure: no clock, no I/O.

A bot that runs twice answers half of its commands with an error that no user can mend, and spends its session starts
twice. One sign alone is never believed: an answer of ours may have been lost, a start may not have been told.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from flotilla.domain.sessions import Limit, Start

ANSWERS: Final = 2
"""Interactions within WINDOW_S that were answered, and not by this process, before it is told."""

WINDOW_S: Final = 600.0
"""How long such an answer counts, and how long it is not told again."""

STARTS: Final = 4
"""Session starts that nobody here made: more than may be granted without a record while the database is away."""

SAME_WINDOW: Final = timedelta(seconds=30)
IN_FLIGHT: Final = timedelta(seconds=10)
"""How far Discord's count may lag behind, or run ahead of, what is recorded here."""


class Suspicion:
    """Of one bot. Seconds are monotonic."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=10_000)
        self._told_at: float | None = None

    def answered_elsewhere(self, now: float) -> int:
        """Count an interaction that somebody else answered; return how many there were if that is to be told, else 0.

        It is told for ANSWERS of them, and again after WINDOW_S if it goes on.
        """
        self._at.append(now)
        while self._at[0] < now - WINDOW_S:
            self._at.popleft()
        if len(self._at) < ANSWERS or (self._told_at is not None and now - self._told_at < WINDOW_S):
            return 0
        self._told_at = now
        return len(self._at)


def foreign_starts(before: Limit | None, after: Limit, starts: Iterable[Start]) -> int:
    """Return how many session starts of an application nobody here made, by two of Discord's answers; 0 if few.

    starts: those that are recorded here. Two answers can be compared within one of Discord's windows alone.
    """
    if before is None or before.total != after.total or abs(before.resets_at - after.resets_at) > SAME_WINDOW:
        return 0
    ours = sum(_between(start.at, before.seen_at - IN_FLIGHT, after.seen_at + IN_FLIGHT) for start in starts)
    foreign = before.remaining - after.remaining - ours
    return foreign if foreign >= STARTS else 0


def _between(at: datetime, first: datetime, last: datetime) -> bool:
    return first <= at <= last
