"""What sessions keep for a resume: each session its last events, all together a bound in bytes, oldest first out."""

from collections import deque
from dataclasses import dataclass

from sandbox import limits


@dataclass(slots=True, eq=False)
class Kept:
    """An event that was sent, or would have been. `owner` is its session's buffer, None once it was let go."""

    seq: int
    name: str
    body: bytes
    sent_at: float
    owner: "deque[Kept] | None"


class Replay:
    """All events kept. A body that many sessions keep counts once.

    Events older than `horizon_s` go: nobody can need them any more. Time moves only with `advance`, so that keeping an
    event asks no clock; an event may count as up to one such step older than it is.
    """

    def __init__(self, horizon_s: float, max_bytes: int = limits.REPLAY_MAX_BYTES) -> None:
        self._horizon_s = horizon_s
        self._max_bytes = max_bytes
        self._now = 0.0
        self._oldest: deque[Kept] = deque()
        self._let_go = 0
        self._holders: dict[int, int] = {}
        self.held_bytes = 0

    def advance(self, now: float) -> None:
        """Move time on to `now`, in Unix seconds, and let go of what is too old."""
        self._now = max(now, self._now)
        cutoff = self._now - self._horizon_s
        while self._oldest and (self._oldest[0].owner is None or self._oldest[0].sent_at < cutoff):
            self._evict_oldest()

    def keep(self, owner: deque[Kept], seq: int, name: str, body: bytes) -> None:
        """Keep an event in a session's buffer."""
        event = Kept(seq, name, body, self._now, owner)
        holders = self._holders.get(id(body), 0)
        self._holders[id(body)] = holders + 1
        self.held_bytes += limits.REPLAY_EVENT_BYTES + (0 if holders else len(body))
        owner.append(event)
        self._oldest.append(event)
        if len(owner) > limits.REPLAY_MAX_EVENTS:
            self._release(owner.popleft())
        while self.held_bytes > self._max_bytes:
            self._evict_oldest()
        if self._let_go > len(self._oldest) // 2 + limits.REPLAY_MAX_EVENTS:
            self._oldest = deque(event for event in self._oldest if event.owner is not None)
            self._let_go = 0

    def forget(self, owner: deque[Kept]) -> None:
        """Let go of everything a session kept."""
        for event in owner:
            self._release(event)
        owner.clear()

    def _evict_oldest(self) -> None:
        event = self._oldest.popleft()
        if event.owner is None:
            self._let_go -= 1
            return
        event.owner.popleft()
        self._release(event)
        self._let_go -= 1

    def _release(self, event: Kept) -> None:
        holders = self._holders[id(event.body)] - 1
        if holders:
            self._holders[id(event.body)] = holders
        else:
            del self._holders[id(event.body)]
        self.held_bytes -= limits.REPLAY_EVENT_BYTES + (0 if holders else len(event.body))
        event.owner, event.body = None, b""
        self._let_go += 1
