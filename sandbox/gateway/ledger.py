"""The ledger of session starts: how many IDENTIFYs an application has left, and how fast it may spend them."""

from dataclasses import dataclass, field
from enum import Enum, auto

from sandbox import limits


class Verdict(Enum):
    """What Discord does with an IDENTIFY."""

    ACCEPTED = auto()
    TOO_FAST = auto()  # op 9; nothing is spent
    EXHAUSTED = auto()  # every session ends and the token is reset


@dataclass(slots=True)
class SessionStarts:
    """The session starts of one application, in a window that opens with the first one.

    Times are Unix seconds and always passed in.
    """

    interval_s: float = limits.IDENTIFY_INTERVAL_S
    total: int = limits.SESSION_STARTS_MAX
    max_concurrency: int = limits.MAX_CONCURRENCY
    shard_guilds_max: int = limits.SHARD_GUILDS_MAX
    shards: int = 1
    used: int = 0
    window_ends_at: float | None = None
    last_by_key: dict[int, float] = field(default_factory=dict)

    def identify(self, shard_id: int, now: float) -> Verdict:
        """Judge an IDENTIFY and, when it is accepted, spend one.

        Documented: each `shard_id % max_concurrency` may identify once in the interval.
        """
        self._roll(now)
        key = shard_id % self.max_concurrency
        last_at = self.last_by_key.get(key)
        if last_at is not None and now - last_at < self.interval_s:
            return Verdict.TOO_FAST
        if self.used >= self.total:
            return Verdict.EXHAUSTED
        if self.window_ends_at is None:
            self.window_ends_at = now + limits.SESSION_STARTS_WINDOW_S
        self.used += 1
        self.last_by_key[key] = now
        return Verdict.ACCEPTED

    def remaining(self, now: float) -> int:
        """Return how many IDENTIFYs the window still allows."""
        self._roll(now)
        return self.total - self.used

    def set_remaining(self, remaining: int, now: float) -> None:
        """Leave exactly `remaining` IDENTIFYs (0 to the total) in the window."""
        self._roll(now)
        self.used = self.total - remaining
        if self.window_ends_at is None:
            self.window_ends_at = now + limits.SESSION_STARTS_WINDOW_S

    def renew(self) -> None:
        """Open a new window, as a token reset does."""
        self.used, self.window_ends_at = 0, None
        self.last_by_key.clear()

    def as_json(self, now: float) -> dict[str, int]:
        """Return Discord's `session_start_limit`."""
        remaining = self.remaining(now)
        reset_after_s = 0.0 if self.window_ends_at is None else self.window_ends_at - now
        return {
            "total": self.total,
            "remaining": remaining,
            "reset_after": int(reset_after_s * 1000),
            "max_concurrency": self.max_concurrency,
        }

    def _roll(self, now: float) -> None:
        if self.window_ends_at is not None and now >= self.window_ends_at:
            self.used, self.window_ends_at = 0, None
