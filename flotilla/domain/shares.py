"""How much one bot may take, for what it tells, of what all bots of a host share: rows, log lines, looks. Pure.

A bot's code is not ours, so it may make its worker tell without end. What is beyond its share is left out and counted;
nothing of it displaces what other bots or the host itself have to say. A share is a burst that comes back evenly.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Share:
    """What each bot may take of one thing. what: in words, as people are told.

    at_once: in a burst. per_minute: for long. critical: as much of the burst that only critical things may take.
    """

    what: str
    at_once: int
    per_minute: float
    critical: int = 0


EVENTS: Final = Share("events", at_once=300, per_minute=60, critical=50)
"""Happenings as Discord brings them about: a row each, a line in the log, and places in webhooks' queues."""

NOTES: Final = Share("happenings", at_once=100, per_minute=30)
"""Happenings that Flotilla tells of a bot for what its worker says. Critical ones are never left out."""

COMMAND_LOGS: Final = Share("command logs", at_once=20_000, per_minute=6_000)
"""Twice what Discord lets a bot answer for long, after a burst of twice what a worker keeps."""

MOVES: Final = Share("changes of READY", at_once=300, per_minute=120)
"""Each is a row of its uptime's record."""

STARTS_ALONE: Final = Share("session starts by itself", at_once=50, per_minute=10)
STATUSES: Final = Share("statuses", at_once=60, per_minute=60)
"""Written at once; what is beyond is written with the others' now and then."""

GATEWAYS: Final = Share("answers of the gateway", at_once=30, per_minute=12)
QUESTIONS: Final = Share("questions", at_once=2_000, per_minute=3_000)
CHANGES: Final = Share("changes of guilds' configs", at_once=200, per_minute=60)
RELOADS: Final = Share("reloads", at_once=5, per_minute=2)
LOG_BYTES: Final = Share("log", at_once=256 * 1024, per_minute=64 * 1024, critical=64 * 1024)


@dataclass(slots=True)
class _Left:
    """What is left to a bot of a share. at: second of the last look."""

    left: float
    at: float


@dataclass(slots=True)
class Shares:
    """What each bot has left of each share, and what was left out of what it told. Seconds are monotonic."""

    _left: dict[str, dict[str, _Left]] = field(default_factory=dict)
    _more: dict[str, Counter[str]] = field(default_factory=dict)

    def take(self, bot: str, share: Share, wanted: int, now: float, *, critical: bool = False) -> int:
        """Return how many of `wanted` a bot may have now; the rest is counted as left out.

        bot: what bots are told apart by. critical: whether these may take what is kept for such.
        """
        of_bot = self._left.setdefault(bot, {})
        known = of_bot.get(share.what)
        if known is None:
            known = of_bot[share.what] = _Left(share.at_once, now)
        known.left = min(share.at_once, known.left + max(0.0, now - known.at) * share.per_minute / 60)
        known.at = now
        given = max(0, min(wanted, int(known.left) - (0 if critical else share.critical)))
        known.left -= given
        if given < wanted:
            self._more.setdefault(bot, Counter())[share.what] += wanted - given
        return given

    def over(self) -> list[str]:
        """Return the bots of which something was left out that nobody has asked for yet."""
        return list(self._more)

    def left_out(self, bot: str) -> dict[str, int]:
        """Return what was left out of a bot's since the last call, by what it is."""
        return dict(self._more.pop(bot, {}))

    def forget(self, bot: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._left.pop(bot, None)
        self._more.pop(bot, None)
