"""Counts what a worker's bot does. A count costs about a microsecond; `tell` tells all of them, again and again."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from flotilla.domain.command_logs import CommandLog
from flotilla.domain.metrics import BOUNDS_MS, EMPTY, EVENTS, OTHER, Counts, Histogram, bucket
from flotilla.protocol import Measured
from worker_bot import seam

TOO_MANY_REQUESTS: Final = 429
_SCOPES: Final = frozenset({"user", "global", "shared"})


class _Durations:
    """A histogram that grows."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_us = 0

    def add(self, ms: float) -> None:
        self.counts[bucket(ms)] += 1
        self.sum_us += max(0, round(ms * 1000))

    def now(self) -> Histogram:
        return Histogram(tuple(self.counts), self.sum_us) if self.sum_us or any(self.counts) else EMPTY


class Metrics:
    """All counts of one worker. send: tells the supervisor, every `every_s`. clock: monotonic seconds."""

    def __init__(
        self, send: Callable[[Measured], object], every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send, self._every_s, self._clock = send, every_s, clock
        self._began = clock()
        self._told_at = self._began
        self._commands: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._rest: Counter[str] = Counter()
        self._first: dict[str, _Durations] = {}
        self._total: dict[str, _Durations] = {}
        self._lag = _Durations()

    def event(self, name: str) -> None:
        """Count an event that is handed to the bot."""
        self._events[name if name in EVENTS else OTHER] += 1

    def command(self, log: CommandLog) -> None:
        """Count what a user did."""
        self._commands[f"{log.kind} {log.outcome}"] += 1
        for ms, durations in ((log.first_ms, self._first), (log.total_ms, self._total)):
            if ms is not None:
                durations.setdefault(log.kind, _Durations()).add(ms)

    def answered(self, status: int, scope: str | None) -> None:
        """Count an answer of Discord's to a request. scope: of X-RateLimit-Scope."""
        if status == TOO_MANY_REQUESTS:
            self._rest[f"429 {scope if scope in _SCOPES else 'unknown'}"] += 1
        else:
            self._rest[f"{status // 100}xx"] += 1

    def held_back(self) -> None:
        """Count a request that Flotilla did not let pass."""
        self._rest["held back"] += 1

    def unanswered(self) -> None:
        """Count a request that Discord did not answer."""
        self._rest["no answer"] += 1

    def lagged(self, seconds: float) -> None:
        """Count how late the event loop came to a heartbeat."""
        self._lag.add(max(0.0, seconds) * 1000)

    def tell(self, cache: Any) -> None:  # noqa: ANN401 - hikari's, or of a kind of its own
        """Tell everything if that is due. Call it with each heartbeat."""
        now = self._clock()
        if now - self._told_at >= self._every_s:
            self._told_at = now
            self._send(Measured(self.counts(), seam.cache_sizes(cache), now - self._began))

    def leave(self) -> None:
        """Tell everything: this worker ends."""
        self._send(Measured(self.counts(), {}, self._clock() - self._began))

    def counts(self) -> Counts:
        """Return all that was counted."""
        return Counts(
            dict(self._commands),
            dict(self._events),
            dict(self._rest),
            {kind: durations.now() for kind, durations in self._first.items()},
            {kind: durations.now() for kind, durations in self._total.items()},
            self._lag.now(),
        )
