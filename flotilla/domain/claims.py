"""Which installation runs the bots of a database: two at once would run each bot twice.

A claim is one row for each slot: there is one slot so far, the one that a host's supervisor has. That a holder lives is
seen by its beats, which are counted, and by the observer's own clock: no two hosts' clocks are compared.
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

SLOT = 0
"""The only one so far; a supervisor that is one of many will claim one that is free."""

BEAT_S = 2.0
"""How often a holder says that it lives, and looks whether it still holds."""

OBSERVE_S = 15.0
"""A claim that does not beat for so long is nobody's. A holder that was stopped for less keeps its bots."""

YIELD_S = 15.0
"""How long whoever takes over waits for the one before: a beat until it sees that, 6.5 s for its bots, and room."""

REBOOTED_AFTER = timedelta(seconds=30)
"""An own claim that has not beaten for so long by the database's clock was left by a boot before, or another place."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who asks. installation_id: kept in the home, and copied with it.

    boot_id: names one run of a kernel. place: names this very home within it. home, hostname and pid are for people.
    """

    installation_id: str
    boot_id: str
    place: str
    home: str
    hostname: str
    pid: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as it is stored. epoch: grows with each new holder. beats: grow while the holder lives.

    claimed_at, beat_at, read_at: of the database's clock. released: its holder runs no bot any more. yielded: the one
    before, from whom it was taken, runs none. processes_boot_id: of the boot whose processes `bot_status` names.
    """

    holder: Claimant
    epoch: int
    beats: int
    claimed_at: datetime
    beat_at: datetime
    read_at: datetime
    released: bool = False
    yielded: bool = True
    processes_boot_id: str | None = None


class Standing(enum.Enum):
    """How somebody's claim stands to one who asks."""

    FREE = "free"  # nobody's, or our own: there is nothing to wait for
    UNCLEAR = "unclear"  # another's, which must be watched for OBSERVE_S to see whether it lives


def standing(mine: Claimant, held: Claim | None) -> Standing:
    """Return how `held` stands to the one who asks.

    The same place in the same boot is free: the lock on a home's supervisor, which the asker holds, has been let go.
    """
    if held is None or held.released:
        return Standing.FREE
    if is_same_place(mine, held.holder):
        return Standing.FREE
    own = held.holder.installation_id == mine.installation_id
    if own and held.read_at - held.beat_at >= REBOOTED_AFTER:
        return Standing.FREE
    return Standing.UNCLEAR


def is_same_place(one: Claimant, other: Claimant) -> bool:
    """Return whether both are the same home in the same boot, of which only one supervisor can run at a time."""
    return (one.installation_id, one.boot_id, one.place) == (other.installation_id, other.boot_id, other.place)


def lives(seen: Claim, now: Claim) -> bool:
    """Return whether somebody has moved a claim between two looks at it."""
    return (seen.epoch, seen.beats) != (now.epoch, now.beats)


def is_lost(mine: Claimant, epoch: int, held: Claim | None) -> bool:
    """Return whether a holder of `epoch` has been taken over from. Not by a backup that was restored: that is older."""
    return held is not None and held.epoch > epoch and not is_same_place(mine, held.holder)


def refusal(mine: Claimant, held: Claim) -> str:
    """Return the sentence for one who must not start."""
    copied = held.holder.installation_id == mine.installation_id
    who = "A copy of this installation" if copied else "Another installation"
    return (
        f"{who} runs the bots of this database: {_named(held)}. Each bot must run once. Stop that one with "
        "`flotilla down`, give this home a database of its own (FLOTILLA_DATABASE_URL), or take its bots over: "
        "flotilla up --take-over"
    )


def ousted(held: Claim) -> str:
    """Return the sentence for one who has been taken over from."""
    return (
        f"Another installation has taken the bots of this database over: {_named(held)}. All bots of this home were "
        "stopped, since each must run once. To have them back here: flotilla up --take-over"
    )


def _named(held: Claim) -> str:
    holder = held.holder
    return f"{holder.home} on {holder.hostname}, process {holder.pid}, since {held.claimed_at:%Y-%m-%d %H:%M} UTC"
