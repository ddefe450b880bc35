"""How long requests wait that Discord answered with 429, and which others wait with them. Pure: no clock, no I/O.

Discord counts 429s towards the ban of the host's address, so whoever was refused waits as long as it was told, and
after that one request goes ahead and shows whether the limit is over, before the others follow.
"""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

TRIES: Final = 5
"""Answers of 429 after which a call is given up, whether it met them itself or waited for another that did."""

UNTOLD_S: Final = 1.0
"""The wait after a 429 that does not say how long."""

FLOOR_S: Final = 0.25
"""The least wait; it doubles with each 429 in a row, so that a limit that says too little costs a handful of them."""

FLOOR_MAX_S: Final = 10.0
"""How far it grows: then such a limit costs 60 in the ten minutes in which Discord counts 10,000."""

LONGEST_S: Final = 3_600.0
"""The longest that Discord is believed: as long as it bans an address."""

SHOWN_WITHIN_S: Final = 2.0
"""How long others wait for the request that shows whether a limit is over, before a second one may."""

KEPT: Final = 10_000
"""Limits that are known at once; beyond it the oldest is forgotten."""

Key = Hashable
"""What a limit is for."""


def told_s(*said: object) -> float:
    """Return the first of what an answer says to wait that is a number of seconds, within 0 and LONGEST_S.

    UNTOLD_S if it says nothing that can be understood.
    """
    for each in said:
        if isinstance(each, str | int | float) and not isinstance(each, bool):
            try:
                seconds = float(each)
            except (ValueError, OverflowError):
                continue
            if math.isfinite(seconds) and seconds >= 0:
                return min(seconds, LONGEST_S)
    return UNTOLD_S


def after_s(told: float, in_a_row: int, u: float) -> float:
    """Return how long to wait after a 429. told: what it says. in_a_row: how many there were by now, at least 1.

    u: uniform draw in [0, 1), so that not all ask at one moment.
    """
    least_s = min(FLOOR_MAX_S, FLOOR_S * 2.0 ** min(20, in_a_row - 1))
    return max(told, least_s) * (1 + 0.1 * u)


@dataclass(slots=True)
class _Limit:
    """until: monotonic second. since: when it was met. in_a_row: 429s of requests that were to show that it is over.

    asked_at: when such a request was let through that has no answer yet.
    """

    until: float
    since: float
    in_a_row: int = 0
    asked_at: float | None = None


class RateLimits:
    """The limits that Discord has told of, by what they are for. `now` is a monotonic second throughout."""

    def __init__(self) -> None:
        self._limits: dict[Key, _Limit] = {}

    def __bool__(self) -> bool:
        return bool(self._limits)

    def refused(self, key: Key, told: float, *, began: float, now: float, u: float) -> float:
        """Take note of a 429 to a request that began at `began`, and return how many seconds its like must wait.

        told, u: as in `after_s`.
        """
        limit = self._limits.get(key)
        if limit is None:
            if len(self._limits) >= KEPT:
                del self._limits[next(iter(self._limits))]
            limit = self._limits[key] = _Limit(now, since=began)
        if began >= limit.since:  # one that was under way when the limit was met says nothing new
            limit.in_a_row += 1
            limit.since, limit.asked_at = now, None
        limit.until = max(limit.until, now + after_s(told, max(1, limit.in_a_row), u))
        return limit.until - now

    def wait_s(self, keys: Iterable[Key], now: float) -> float:
        """Return how long a request that falls under these limits waits, 0 if not at all.

        Also for the answer to another one that is under way and shows whether a limit is over.
        """
        longest = 0.0
        for key in keys:
            if (limit := self._limits.get(key)) is not None:
                shown_at = -math.inf if limit.asked_at is None else limit.asked_at + SHOWN_WITHIN_S
                longest = max(longest, max(limit.until, shown_at) - now)
        return longest

    def left_s(self, keys: Iterable[Key], now: float) -> float:
        """Return how long Discord wants requests that fall under these limits to wait, 0 if not at all."""
        return max((self._limits[key].until - now for key in keys if key in self._limits), default=0.0)

    def in_a_row(self, keys: Iterable[Key]) -> int:
        """Return how many requests in a row were refused that were to show whether these limits are over."""
        return max((self._limits[key].in_a_row for key in keys if key in self._limits), default=0)

    def ask(self, keys: Iterable[Key], now: float) -> tuple[Key, ...]:
        """Let a request that need not wait show whether the limits it falls under are over; return their keys."""
        asked = tuple(key for key in keys if key in self._limits)
        for key in asked:
            self._limits[key].asked_at = now
        return asked

    def over(self, key: Key) -> None:
        """Forget a limit: a request that was to show it was not refused."""
        self._limits.pop(key, None)

    def unanswered(self, key: Key) -> None:
        """A request that was to show whether a limit is over got no answer: another one may."""
        if (limit := self._limits.get(key)) is not None:
            limit.asked_at = None
