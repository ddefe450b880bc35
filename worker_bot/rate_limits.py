"""Lets a worker's requests wait for the limits that Discord tells of, on every route, and gives up what waits too long.

hikari waits for the limits of its buckets; what it does not wait for, or not long enough, waits here. See
docs/decisions/038-every-429-is-waited-for.md.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flotilla.domain.rate_limits import TRIES, Key, RateLimits, after_s, told_s
from worker_bot.requests import Call, HeldBackError, RequestGuard

CALL_MAX_S: Final = 900.0
"""The longest that one call takes with all its waits: as long as an interaction's token lives."""

FIRST_RESPONSE_S: Final = 3.0
"""Discord's: an interaction whose first response comes later is void."""


class LimitedError(HeldBackError):
    """Discord limits a call for longer than it can wait, or refused it too often."""


@dataclass(slots=True, eq=False)
class Ask:
    """One call with all its attempts. keys: the limits it falls under: its route's for its resource, its route's, all.

    deadline: monotonic second beyond which it does not wait. longest_s: nor for a limit that is longer than this.
    refusals: answers of 429. waited_from: how many were in a row when it began to wait for another to be let through.
    began: when its last attempt began. shows: limits of which it shows whether they are over.
    """

    call: Call
    keys: tuple[Key, Key, Key]
    deadline: float
    longest_s: float
    attempts: int = 0
    refusals: int = 0
    waited_from: int | None = None
    began: float = 0.0
    shows: tuple[Key, ...] = ()


class LimitGuard:
    """Of one worker. Made inside a running event loop."""

    def __init__(self, guard: RequestGuard, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard, self._clock = guard, clock
        self._limits = RateLimits()

    def ask(self, call: Call, resource: str, longest_s: float, *, within_s: float = CALL_MAX_S) -> Ask:
        """Return a call that is to be made now. resource: what its limits are for beside its route."""
        template = call.method, call.route
        keys = (*template, resource, call.as_bot), template, call.as_bot
        return Ask(call, keys, self._clock() + within_s, longest_s)

    @property
    def holds(self) -> bool:
        """Whether any limit is known; if not, nothing has to wait for its turn."""
        return bool(self._limits)

    async def turn(self, ask: Ask) -> None:
        """Wait until no known limit holds the call. Raises HeldBackError, LimitedError for one that lasts too long."""
        while self._limits:
            now = self._clock()
            wait_s = self._limits.wait_s(ask.keys, now)
            if wait_s <= 0:
                return
            left_s, limited_s = ask.deadline - now, self._limits.left_s(ask.keys, now)
            if limited_s > min(left_s, ask.longest_s) or left_s <= 0 or self._is_vain(ask):
                raise self._too_long(ask, max(wait_s, limited_s))
            await self._guard.pause(ask.call, min(wait_s, left_s))

    def begin(self, ask: Ask) -> bool:
        """Begin an attempt. Returns whether that is so: not if the call must wait for its turn again."""
        now = self._clock()
        if self._limits:
            if self._limits.wait_s(ask.keys, now) > 0:
                return False
            ask.shows = self._limits.ask(ask.keys, now)
        ask.attempts += 1
        ask.began = now
        return True

    def passed(self, ask: Ask) -> None:
        """The call was not refused for a limit."""
        if ask.shows:
            for key in ask.shows:
                self._limits.over(key)
            ask.shows = ()
            self._guard.wake()

    def ended(self, ask: Ask) -> None:
        """An attempt has ended, answered or not."""
        if ask.shows:
            for key in ask.shows:
                self._limits.unanswered(key)
            ask.shows = ()
            self._guard.wake()

    def refused(self, ask: Ask, headers: Mapping[str, str], body: Any) -> float:  # noqa: ANN401 - what Discord sent
        """Take note of a 429, and return the seconds after which the call may be tried again.

        body: its JSON, None if it is none. Raises LimitedError if that is too late, or was so too often.
        """
        now, ask.refusals = self._clock(), ask.refusals + 1
        said = body.get("retry_after") if isinstance(body, dict) else None
        seconds = told_s(said, headers.get("Retry-After"), headers.get("X-RateLimit-Reset-After"))
        key, u = self._key(ask, headers, body), random.random()  # noqa: S311 - jitter
        if key is None:
            wait_s = after_s(seconds, ask.refusals, u)
        else:
            wait_s = self._limits.refused(key, seconds, began=ask.began, now=now, u=u)
            ask.shows = tuple(each for each in ask.shows if each != key)
        if self._is_vain(ask) or wait_s > min(ask.longest_s, ask.deadline - now):
            raise self._too_long(ask, wait_s)
        return wait_s

    def _is_vain(self, ask: Ask) -> bool:
        """Return whether the call was refused often enough, be it by way of others that went ahead of it."""
        in_a_row = self._limits.in_a_row(ask.keys)
        ask.waited_from = in_a_row if ask.waited_from is None else min(in_a_row, ask.waited_from)
        return ask.refusals >= TRIES or in_a_row - ask.waited_from >= TRIES - 1

    def _key(self, ask: Ask, headers: Mapping[str, str], body: Any) -> Key | None:  # noqa: ANN401
        """Return what a 429 limits; None: this call alone, by what is in it."""
        own, template, everything = ask.keys
        if not isinstance(body, dict) or "retry_after" not in body:
            return template  # Cloudflare's: it knows no resources
        scope = headers.get("X-RateLimit-Scope")
        if body.get("global") is True or scope == "global":
            return everything
        if scope == "shared" or headers.get("X-RateLimit-Remaining", "0") not in {"0", "-1"}:
            return None
        return own

    def _too_long(self, ask: Ask, wait_s: float) -> LimitedError:
        call, times = ask.call, f" after {ask.refusals} refusals" if ask.refusals else ""
        return LimitedError(
            f"Discord limits {call.method} {call.route} for {wait_s:.1f} s more{times}, which is longer than this call "
            f"can wait. Try again in {max(1, round(wait_s))} s, and ask less often.",
            wait_s,
        )
