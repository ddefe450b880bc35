"""What is done for a bot whose process is well, whose gateway session is gone and does not come back. Pure.

hikari connects again by itself, so it is given time. What it cannot cure is its own state: a new process resumes the
session, and begins a new one only if Discord refuses that. Where most bots are without a session it is Discord, or the
host's network, and no restart helps anybody.
"""

import enum
from dataclasses import dataclass
from typing import Final

TOLD_AFTER: Final = 0.2
"""Share of the time until it is restarted after which it is told."""

LONGEST_S: Final = 3600.0
"""Between two restarts for one loss; each takes twice as long as the one before, up to this."""


class Then(enum.Enum):
    """What is to be done about a bot now."""

    WAIT = "wait"
    TELL = "tell"
    RENEW = "renew"


@dataclass(slots=True)
class Loss:
    """Of one bot, until it is READY again. Seconds of a clock that leaves out what its reader slept through.

    since: when it was first seen so. counts_from: since when its time runs. told: whether people know. renewals: how
    often it was restarted for it.
    """

    since: float
    counts_from: float
    told: bool = False
    renewals: int = 0

    def then(self, now: float, timeout_s: float) -> Then:
        """Return what is to be done. timeout_s: how long it may be without a session before it is restarted."""
        if now - self.counts_from >= min(max(LONGEST_S, timeout_s), timeout_s * 2.0 ** min(self.renewals, 20)):
            return Then.RENEW
        if not self.told and now - self.counts_from >= timeout_s * TOLD_AFTER:
            return Then.TELL
        return Then.WAIT

    def is_long(self, now: float, timeout_s: float) -> bool:
        """Return whether it has lasted for as long as people are told after, whatever its cause."""
        return now - self.since >= timeout_s * TOLD_AFTER


def is_outage(lost: int, running: int) -> bool:
    """Return whether so many of the bots that were READY have lost their sessions that the cause is none of theirs."""
    return lost > 1 and lost * 2 > running
