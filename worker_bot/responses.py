"""The response probe: how long a bot's first responses to interactions take, over the last five minutes.

A response begins when the interaction arrives in this process, and ends when Discord has accepted the initial response.
One that is not accepted within 3 s never will be, since its token is void by then (Discord, Receiving and Responding).
"""

import math
import time
from collections import Counter, deque

VOID_MS = 3000.0
WINDOW_S = 300.0
SLOT_S = 10.0
GROWTH = 1.02
"""Between the bounds of two neighbouring classes of duration: a figure is wrong by 1 % at most."""

MAX_PENDING = 10_000
"""Interactions in flight, about 1 MB; beyond it the oldest count as not answered."""

_LOG_GROWTH = math.log(GROWTH)
_NEVER = math.ceil(math.log(VOID_MS) / _LOG_GROWTH) + 1


class Responses:
    """Counts by class of duration, in slots of 10 s that are forgotten one after the other. Times are monotonic."""

    def __init__(self) -> None:
        self._pending: dict[int, float] = {}  # by their arrival
        self._slots: deque[tuple[float, Counter[int]]] = deque()
        self._counts: Counter[int] = Counter()  # of all slots together

    def arrived(self, interaction_id: int, now: float) -> None:
        """An interaction is here; one that Discord replays began when it was first here."""
        self._pending.setdefault(interaction_id, now)
        if len(self._pending) > MAX_PENDING:
            self._give_up(next(iter(self._pending)), now)

    def answered(self, interaction_id: int, now: float) -> None:
        """Discord has accepted an initial response. A second one of the same interaction counts nothing."""
        began = self._pending.pop(interaction_id, None)
        if began is not None:
            ms = max(1.0, (now - began) * 1000)
            self._count(min(_NEVER, math.floor(math.log(ms) / _LOG_GROWTH)), now)

    def summary(self, now: float) -> tuple[int, float | None]:
        """Return how many responses the last five minutes had, and their 95th percentile in milliseconds.

        Those that never came count, as a little more than 3,000 ms; those that may still come do not. None: there were
        none.
        """
        while self._pending and now - self._pending[oldest := next(iter(self._pending))] > VOID_MS / 1000:
            self._give_up(oldest, now)
        self._forget(now)
        total, below = self._counts.total(), 0
        for index in sorted(self._counts):
            below += self._counts[index]
            if below >= total * 0.95:
                return total, round(GROWTH ** (index + 0.5), 1)
        return 0, None

    def _give_up(self, interaction_id: int, now: float) -> None:
        del self._pending[interaction_id]
        self._count(_NEVER, now)

    def _count(self, index: int, now: float) -> None:
        if not self._slots or now - self._slots[-1][0] >= SLOT_S:
            self._slots.append((now, Counter()))
            self._forget(now)
        self._slots[-1][1][index] += 1
        self._counts[index] += 1

    def _forget(self, now: float) -> None:
        while self._slots and now - self._slots[0][0] > WINDOW_S:
            self._counts -= self._slots.popleft()[1]  # which drops what is 0 then


_current: list[Responses] = []


def install(responses: Responses | None) -> None:
    """Let every initial response that is accepted from now on count in `responses`; None: in nobody's."""
    _current[:] = [] if responses is None else [responses]


def accepted(interaction_id: int) -> None:
    """Take note that Discord has accepted an initial response of a bot's code."""
    for responses in _current:
        responses.answered(interaction_id, time.monotonic())
