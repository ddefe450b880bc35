"""Whether one gateway session still gets events: when to ask Discord, and what to do if nothing answers. Pure.

A session can be deaf: its heartbeats are acknowledged, but it gets no events. Silence alone proves nothing, since a bot
may have nothing to hear. So a silent session asks for what Discord answers with an event; when twice nothing comes, a
ladder is climbed, and on each rung the session is asked again.
"""

import enum

from flotilla.protocol import Delivery, Rung, WorkerLimits

ASKS = 2
"""Questions that must stay unanswered: one may be lost, or have met a guild that is having trouble."""

LADDER_AGAIN_S = 600.0
"""Seconds between two IDENTIFYs for deafness, and between the end of the ladder and its next try.

A bot that no rung heals spends at most two session starts in that time, one of them after it was renewed: 288 of the
1,000 that Discord allows a day (Gateway, Session Start Limit).
"""

MAX_JITTER = 0.2
"""The largest share of its quiet time that a session asks sooner, so that many do not ask at once."""

TURN_BEATS = 2
"""In heartbeats: the most that counts as silence between two ticks; what is beyond, the event loop did not turn."""


class Act(enum.Enum):
    """What the shell must do now. `ASK` is followed by `Hearing.sent` or `Hearing.unsent`."""

    ASK = enum.auto()
    RESUME = enum.auto()
    IDENTIFY = enum.auto()


class Hearing:
    """One session's. jitter: uniform draw in [0, 1); the caller owns randomness.

    heard: set by whoever sees an event; the next tick takes note of it, so that an event costs next to nothing.
    rung: what is tried against deafness: a resume, a new session, at last a renewed worker, which is up to the
    supervisor. Empty while the session is not known to be deaf.
    """

    __slots__ = ("_asks", "_identified", "_jitter", "_not_before", "_now", "_proven", "_rested", "_sending",
                 "_since", "_ticked_at", "_unprobed", "_up", "heard", "rung")  # fmt: skip

    def __init__(self, jitter: float) -> None:
        self.heard = False
        self.rung: Rung = ""
        self._jitter = jitter
        self._now = 0.0  # seconds in which the event loop has turned
        self._ticked_at: float | None = None
        self._since = 0.0
        self._not_before = 0.0
        self._asks = 0
        self._sending = False
        self._unprobed = False
        self._up = False
        self._proven = False  # an event came over this connection
        self._identified = -LADDER_AGAIN_S
        self._rested = 0.0

    @property
    def state(self) -> Delivery:
        """As `flotilla.domain.vitals.Vitals.delivery` has it; `ok` only when an event came over this connection."""
        if self.rung:
            return "deaf"
        if self._up and self._asks:
            return "probing"
        if self._up and self._unprobed:
            return "unprobed"
        return "ok" if self._up and self._proven else "quiet"

    @property
    def quiet_s(self) -> float:
        """Seconds since the last event, or since the session came up, in which the event loop turned."""
        return self._now - self._since

    def connected(self) -> None:
        """READY or RESUMED came. What was replayed before says nothing about what comes after; on the ladder: ask."""
        self.heard = self._proven = self._sending = False
        self._asks = 0
        self._not_before = self._now
        if not self.rung:
            self._since = self._now

    def sent(self, limits: WorkerLimits) -> None:
        """A question is on its way; its answer may take `delivery_answer_s` from now on."""
        self._sending = False
        self._not_before = self._now + limits.delivery_answer_s

    def unsent(self, limits: WorkerLimits) -> None:
        """A question could not be sent, which proves nothing."""
        self._asks = max(0, self._asks - 1)
        self.sent(limits)

    def tick(self, now: float, limits: WorkerLimits, *, up: bool, askable: bool, acknowledged: bool) -> Act | None:
        """Return what must be done now. Call it with each heartbeat.

        now: a monotonic second. up: the session is connected; if not, silence is no matter of delivery. askable: there
        is a guild to ask. acknowledged: the last gateway heartbeat was; if not, the connection is dead, which hikari
        finds out by itself.
        """
        turned_s = 0.0 if self._ticked_at is None else now - self._ticked_at
        self._ticked_at = now
        # A process that was stopped, asleep or blocked has not listened meanwhile.
        self._now += min(turned_s, TURN_BEATS * limits.heartbeat_s)
        self._up = up and limits.delivery_probe
        if self.heard or not self._up:
            self._rest(healed=(self.heard and self._up) or not limits.delivery_probe)
            return None
        if self._sending or self._now < self._due(limits):
            return None
        self._unprobed = not askable
        if not askable:
            self.rung, self._asks = "", 0  # nothing is known of a session that cannot be asked
            return None
        if self._asks < ASKS:
            self._asks += 1
            self._sending = True
            return Act.ASK
        return self._climb(limits) if acknowledged else None

    def _rest(self, *, healed: bool) -> None:
        if healed:
            self.rung = ""
        self._proven |= self.heard and self._up
        if not self.rung:
            self._since = self._now
        self.heard = self._unprobed = self._sending = False
        self._asks = 0
        self._not_before = self._now

    def _due(self, limits: WorkerLimits) -> float:
        """Return when the next question, or the verdict on the last one, is due."""
        if self._asks or self.rung:
            return self._not_before
        quiet_s = limits.delivery_quiet_s * (1 - MAX_JITTER * self._jitter)
        return max(self._not_before, self._since + quiet_s)

    def _climb(self, limits: WorkerLimits) -> Act | None:
        self._asks = 0
        if self.rung == "renew" and self._now < self._rested:
            self._not_before = self._now + limits.delivery_quiet_s
            return None
        if self.rung in {"", "renew"}:
            self.rung = "resume"
        elif self.rung == "resume" and self._now >= self._identified + LADDER_AGAIN_S:
            self.rung, self._identified = "identify", self._now
        else:
            self.rung, self._rested = "renew", self._now + LADDER_AGAIN_S
            self._not_before = self._now + limits.delivery_quiet_s
            return None
        self._not_before = self._now + limits.delivery_answer_s  # should the connection not be renewed, go on
        return Act.RESUME if self.rung == "resume" else Act.IDENTIFY
