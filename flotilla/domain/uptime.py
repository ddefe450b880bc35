"""Uptime of a bot from its recorded transitions: exact over any window, and what it costs of the error budget.

Every moment of a window is one of four things:

- *up*: RUNNING with its gateway session READY. A restart that Discord's users do not notice is recorded as staying so.
- *down*: not up, though users could expect it to be; `expected_after` says from when on.
- *unwanted*: not up, and nobody could expect it: before the first record, stopped on purpose, being started for the
  first time since. It counts neither way.
- *unknown*: the last record says up, but no supervisor has been there since to vouch for it. It counts neither way,
  until the next supervisor has found out what became of the worker.

Budget and burn rate are Google's: "The Site Reliability Workbook", chapters 2 and 5 (sre.google/workbook). Sums are
kept as `timedelta`, whole microseconds: parts of a window add up to it without rounding.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from flotilla.domain.reasons import Verdict
from flotilla.domain.reasons import reason as reason_of

TARGET = 0.995
WINDOWS: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
LONGEST = max(WINDOWS.values())
HOUR = timedelta(hours=1)
KEPT = timedelta(days=35)
"""How long transitions are kept: the longest window, and some days to look back at it."""
SILENT_AFTER = timedelta(seconds=10)
"""A supervisor says every 2 s that it lives; after this long without a word it is taken for gone."""


class Mark(NamedTuple):
    """A transition, as uptime sees it. at: aware UTC. up: RUNNING and READY. expected: see `expected_after`."""

    at: datetime
    up: bool
    expected: bool


class _Kind(enum.Enum):
    UP = "up"
    DOWN = "down"
    UNWANTED = "unwanted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Uptime:
    """How a window was spent; the four parts add up to its length exactly. Uptimes of adjacent windows can be added."""

    up: timedelta = timedelta()
    down: timedelta = timedelta()
    unwanted: timedelta = timedelta()
    unknown: timedelta = timedelta()

    @property
    def counted(self) -> timedelta:
        """The time that counts: up and down."""
        return self.up + self.down

    @property
    def ratio(self) -> float | None:
        """Share of the counted time in which the bot was up, in [0, 1]; None when none counts."""
        return self.up / self.counted if self.counted else None

    def __add__(self, other: "Uptime") -> "Uptime":
        """Return how both windows together were spent."""
        return Uptime(
            self.up + other.up, self.down + other.down, self.unwanted + other.unwanted, self.unknown + other.unknown
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The downtime that a target allows in the counted time. left_s is negative exactly when the target is missed."""

    allowed_s: float
    left_s: float

    @property
    def left_ratio(self) -> float:
        """Share of the budget that is left, at most 1; negative when it is overdrawn."""
        return self.left_s / self.allowed_s


@dataclass(frozen=True, slots=True)
class Report:
    """One bot's uptime in each of WINDOWS and in the last hour, all ending at the same moment."""

    windows: Mapping[str, Uptime]
    last_hour: Uptime


def expected_after(*, before: bool, wanted: bool, ready: bool, reason: str | None) -> bool:
    """Return whether users can expect a bot to be up from a transition on.

    before: the answer of the transition before, False if there is none. wanted: an operator wants it running, and the
    fleet is not being shut down. reason: the transition's, a code of `reasons.REASONS`.

    Once it was READY or its start has failed, a bot that is wanted is expected to be up until it is not wanted any
    more. So the first start after a stop costs nothing, however long it takes to succeed; failing it does. Nor does a
    restart that was asked for, until it is READY or fails: the next worker resumes the session, and no user notices.
    """
    restarting = reason is not None and reason_of(reason).verdict is Verdict.RESTART
    failed = reason is not None and not restarting
    return wanted and ((before and not restarting) or ready or failed)


def uptime(marks: Iterable[Mark], start: datetime, end: datetime, known_until: datetime | None = None) -> Uptime:
    """Return how [start, end) was spent.

    marks: of one bot, from the last one before `start` on, in any order, since clocks are set back now and then: their
    times decide. Of several at one moment the last one given holds. Marks after `end` tell nothing about the window.
    known_until: when the supervisor was last seen, if it is gone; None while it is there. An up that no later mark
    ends is unknown from then on. What is not up stays so: without a supervisor no bot comes back.
    Raises ValueError if `end` is before `start`.
    """
    if end < start:
        raise ValueError("a window ends after it starts")
    spent = dict.fromkeys(_Kind, timedelta())
    since, kind = start, _Kind.UNWANTED
    for at, following in _moments(marks, known_until):
        moment = min(max(at, start), end)
        spent[kind] += moment - since
        since, kind = moment, following
    spent[kind] += end - since
    return Uptime(spent[_Kind.UP], spent[_Kind.DOWN], spent[_Kind.UNWANTED], spent[_Kind.UNKNOWN])


def report(marks: Iterable[Mark], now: datetime, known_until: datetime | None = None) -> Report:
    """Return the uptime in every window that ends `now`. marks: as in `uptime`, for a window of LONGEST."""
    rows = list(marks)
    windows = {name: uptime(rows, now - length, now, known_until) for name, length in WINDOWS.items()}
    return Report(windows, uptime(rows, now - HOUR, now, known_until))


def budget(spent: Uptime, target: float) -> Budget | None:
    """Return what is left of the downtime that `target` (in (0, 1)) allows; None when no time counts.

    The error budget is 1 - target of the valid events (Workbook, chapter 2); here these are the seconds that count.
    """
    allowance = _allowance(target)
    if not spent.counted:
        return None
    allowed_s = allowance * spent.counted.total_seconds()
    return Budget(allowed_s, allowed_s - spent.down.total_seconds())


def burn_rate(spent: Uptime, target: float) -> float | None:
    """Return how many times faster than the target (in (0, 1)) allows the budget burned; None when no time counts.

    The share of errors over 1 - target (Workbook, chapter 5): 1 uses up a budget of 30 days in exactly 30 days, 14.4
    uses 2 % of it in an hour.
    """
    allowance = _allowance(target)
    return spent.down / spent.counted / allowance if spent.counted else None


def known_until(seen_at: datetime | None, now: datetime) -> datetime | None:
    """Return what `uptime` wants to know: None if the supervisor last seen at `seen_at` is there, else `seen_at`."""
    return None if seen_at is None or now - seen_at <= SILENT_AFTER else seen_at


def _moments(marks: Iterable[Mark], known_until: datetime | None) -> list[tuple[datetime, _Kind]]:
    rows = sorted(marks, key=lambda mark: mark.at)
    moments = [(mark.at, _Kind.UP if mark.up else _Kind.DOWN if mark.expected else _Kind.UNWANTED) for mark in rows]
    if known_until is not None and rows and rows[-1].up:
        moments.append((max(rows[-1].at, known_until), _Kind.UNKNOWN))
    return moments


def _allowance(target: float) -> float:
    if not 0 < target < 1:
        raise ValueError("an uptime target is a share between 0 and 1")
    return 1 - target
