"""The ledger of session starts: how many IDENTIFYs an application has spent, and whether it may spend another now.

Reaching Discord's limit ends every session of an application and resets its token, so the ledger is pessimistic: of its
own records and of what Discord said last, the worse counts. Everything here is per application, never per bot.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flotilla.domain.clock import FUTURE
from flotilla.domain.reasons import Verdict, reason
from flotilla.domain.worker import State, Worker

TOTAL = 1000
"""Session starts in 24 h until Discord says another number. Source: Discord, Gateway, "Session Start Limit Object"."""

FLOOR = 5
"""Never spent, not even when a person asks: starts that no record has (a worker that was alone) must fit in between."""

WINDOW = timedelta(hours=24, minutes=1)
"""How long a start counts: Discord's 24 h and a minute for clocks that differ and IDENTIFYs that are under way."""

IDENTIFY_INTERVAL_S = 5.0
"""In which each key (`shard_id % max_concurrency`) may identify once. Source: Discord, Gateway, "Rate Limiting"."""

_NETWORK = 1.05
"""The interval is stretched by this: two IDENTIFYs may arrive closer together than they were granted."""

_IN_FLIGHT = timedelta(seconds=10)
"""Starts granted this long before Discord told what remains may not have been counted by it yet."""

PACE = ((60, 6, 0.15), (600, 12, 0.20), (1800, 20, 0.25), (3600, 38, 0.35))
"""In so many seconds at most so many automatic starts; times the shards, if there are several, up to a share of all.

A burst is for real trouble, and then the pace slows down: 38 an hour are one in 94.7 s, so that a loop cannot spend a
day in less than a day (1,000 in 24 h are one in 86.4 s).
"""

FRESH = timedelta(minutes=10)
"""How long Discord's answer to `GET /gateway/bot` serves the next worker, too."""

BUDGET_REASONS = frozenset({"session_budget", "session_limit"})
"""Reasons of a bot that waits for session starts: nothing but time or a person's start helps."""


class Cause(enum.StrEnum):
    """Why a session begins. All but ASKED are automatic."""

    ASKED = "asked"  # a person or an operation asked for the start or restart
    FIRST = "first"  # nothing ran before
    CRASH = "crash"  # the run before failed
    PLANNED = "planned"  # a restart of the supervisor's own
    RENEWED = "renewed"  # Discord took the session of a process that runs
    ALONE = "alone"  # while no supervisor was there to be asked


class Purse(enum.Enum):
    """From what a start that somebody asks for is paid."""

    DAY = "day"
    RESERVE = "reserve"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Start:
    """A session start at `at` (aware UTC). shard_id: None if it is not known any more."""

    at: datetime
    cause: str
    shard_id: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What Discord last said of an application's gateway (`GET /gateway/bot`), at `seen_at`. Times are aware UTC.

    shards: that it recommends. remaining: of `total` starts, until `resets_at`.
    """

    url: str
    shards: int
    total: int
    remaining: int
    max_concurrency: int
    resets_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """One application's starts, oldest first, and what Discord said of it, if it did."""

    starts: tuple[Start, ...] = ()
    limit: Limit | None = None

    def with_start(self, start: Start) -> "Ledger":
        """Return the ledger with one more start."""
        starts = (*self.starts, start)
        if len(starts) > 1 and starts[-2].at > start.at:
            starts = tuple(sorted(starts, key=_at))
        return replace(self, starts=starts)

    def since(self, now: datetime) -> "Ledger":
        """Return the ledger without the starts that no longer count at `now`."""
        gone = bisect_right(self.starts, now - WINDOW, key=_at)
        return replace(self, starts=self.starts[gone:]) if gone else self

    def with_limit(self, limit: Limit) -> "Ledger":
        """Return the ledger after Discord's answer."""
        return replace(self, limit=limit)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a session may begin: now if `wait_s` is 0, else not before so many seconds from now.

    code: the reason, of `BUDGET_REASONS`; None if only Discord's own rate of IDENTIFYs is kept.
    """

    wait_s: float = 0.0
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an application stands. spent: starts in 24 h. left: of `total`, by the worse count. reserve: for people.

    automatic_in_s: seconds until an automatic start is granted. back_at: when the next start, or Discord's whole
    window, is given back; None if nothing is spent.
    """

    spent: int
    left: int
    total: int
    reserve: int
    automatic_in_s: float
    back_at: datetime | None


GRANTED = Answer()


def decide(
    ledger: Ledger,
    now: datetime,
    cause: str,
    *,
    shard_id: int = 0,
    reserve: int = 50,
    interval_s: float = IDENTIFY_INTERVAL_S,
    count: int = 1,
) -> Answer:
    """Return whether a session may begin at `now` (aware UTC).

    Guarantee: starts recorded when granted are never more than `total - FLOOR` in any 24 h, automatic ones never begin
    beyond `total - reserve`. interval_s: Discord's, for each key. count: how many are to follow one another, this one
    included: a bot that can pay for half of its shards only would spend them for nothing.
    """
    counting = ledger.since(now)
    answers = [_until_rate(counting, now, shard_id, interval_s)]
    if cause == Cause.ASKED:
        answers.append(Answer(_until_day(counting, now, FLOOR, count), "session_limit"))
    else:
        answers += [
            Answer(_until_day(counting, now, max(FLOOR, reserve), count), "session_budget"),
            Answer(_until_pace(counting, now, count), "session_budget"),
        ]
    latest = max(answers, key=lambda answer: answer.wait_s)
    return latest if latest.wait_s > 0 else GRANTED


def standing(ledger: Ledger, now: datetime, *, reserve: int) -> Standing:
    """Return how the application stands at `now` (aware UTC)."""
    counting = ledger.since(now)
    left, total = _left(counting, now), _total(counting)
    wait_s = decide(counting, now, Cause.CRASH, reserve=reserve, interval_s=0).wait_s
    limit = counting.limit
    if limit is not None and limit.remaining < limit.total and now < limit.resets_at:
        back_at: datetime | None = limit.resets_at
    else:
        back_at = counting.starts[0].at + WINDOW if counting.starts else None
    return Standing(len(counting.starts), left, total, reserve, wait_s, back_at)


def cold_cost(ledger: Ledger) -> int:
    """Return how many session starts a restart takes at most: one for each shard that Discord recommended last."""
    return 1 if ledger.limit is None else max(1, ledger.limit.shards)


def purse(ledger: Ledger, now: datetime, *, reserve: int) -> Purse:
    """Return from what a cold restart that somebody asks for would be paid at `now` (aware UTC)."""
    left, total = _left(ledger.since(now), now) - cold_cost(ledger), _total(ledger)
    if left < min(FLOOR, total // 2):
        return Purse.EMPTY
    return Purse.RESERVE if left < min(max(FLOOR, reserve), total // 2) else Purse.DAY


def is_fresh(limit: Limit, now: datetime) -> bool:
    """Return whether Discord's answer may serve another worker of the same application."""
    return timedelta() <= now - limit.seen_at < FRESH


def cause_of(before: Worker, *, asked: bool) -> Cause:
    """Return why the incarnation after `before` starts. asked: somebody wants it so."""
    if asked:
        return Cause.ASKED
    if before.state is State.STOPPED:
        return Cause.FIRST
    planned = before.reason is not None and reason(before.reason).verdict is Verdict.RESTART
    return Cause.PLANNED if planned else Cause.CRASH


def jumped(seen_at: datetime, now: datetime) -> timedelta:
    """Return by how much to move what was recorded until `seen_at`, the last sign of life, so that its age is right.

    Zero, unless the clock says that the supervisor was away for longer than starts count, or that it was here later
    than now. Either may be a clock that was wrong, and then no time has passed; if it was right, and nothing ran for
    days, starts of then count for at most WINDOW from now on: too many rather than none.
    """
    gap = now - seen_at
    return gap if gap > WINDOW or gap < -FUTURE else timedelta()


def moved(start_at: datetime, seen_at: datetime, now: datetime) -> datetime:
    """Return when a start was, by the clock that says `now`; see `jumped`. None is in the future."""
    gap = jumped(seen_at, now)
    at = start_at + gap if start_at > seen_at - WINDOW else start_at
    return now if at > now + FUTURE else at


def limit_moved(limit: Limit, seen_at: datetime, now: datetime) -> Limit:
    """Return what Discord said, by the clock that says `now`. After a jump ahead it is over, and is asked for anew."""
    gap = min(timedelta(), jumped(seen_at, now))
    if limit.seen_at + gap > now + FUTURE:
        gap = now - limit.seen_at
    return replace(limit, seen_at=limit.seen_at + gap, resets_at=limit.resets_at + gap)


def is_ahead(ledger: Ledger, now: datetime) -> bool:
    """Return whether something in it was dated by a clock that was ahead."""
    latest = ledger.starts[-1].at if ledger.starts else now
    told_at = now if ledger.limit is None else ledger.limit.seen_at
    return max(latest, told_at) > now + FUTURE


def merged(rows: Iterable[tuple[str, Start]], limits: Iterable[tuple[str, Limit]]) -> dict[str, Ledger]:
    """Return the ledgers of all applications from what is stored, in any order."""
    starts: dict[str, list[Start]] = {}
    for application_id, start in rows:
        starts.setdefault(application_id, []).append(start)
    ledgers = {key: Ledger(tuple(sorted(found, key=_at))) for key, found in starts.items()}
    for application_id, limit in limits:
        ledgers[application_id] = ledgers.get(application_id, Ledger()).with_limit(limit)
    return ledgers


def _at(start: Start) -> datetime:
    return start.at


def _total(ledger: Ledger) -> int:
    return TOTAL if ledger.limit is None else max(1, ledger.limit.total)


def _told(ledger: Ledger, now: datetime) -> int | None:
    """Return what is left by Discord's count; None once its window is over, or before it said anything."""
    limit = ledger.limit
    if limit is None or now >= limit.resets_at:
        return None
    known = bisect_right(ledger.starts, limit.seen_at - _IN_FLIGHT, key=_at)
    return limit.remaining - (len(ledger.starts) - known)


def _left(ledger: Ledger, now: datetime) -> int:
    own, told = _total(ledger) - len(ledger.starts), _told(ledger, now)
    return max(0, own if told is None else min(own, told))


def _until_day(ledger: Ledger, now: datetime, kept: int, count: int) -> float:
    """Return seconds until `count` starts leave `kept` ones of the day; a total that is small leaves half of it."""
    total = _total(ledger)
    kept = min(kept, total // 2)
    allowed, wait_s = max(1, total - kept - (count - 1)), 0.0
    if len(ledger.starts) >= allowed:
        wait_s = (ledger.starts[-allowed].at + WINDOW - now).total_seconds()
    told = _told(ledger, now)
    if told is not None and told <= max(kept, min(kept + count - 1, total - 1)) and ledger.limit is not None:
        wait_s = max(wait_s, (ledger.limit.resets_at - now).total_seconds())
    return wait_s


def _until_pace(ledger: Ledger, now: datetime, count: int) -> float:
    """Return seconds until the pace allows `count` automatic starts; those of the future (clock set back) are none."""
    total, shards = _total(ledger), cold_cost(ledger)
    past = bisect_right(ledger.starts, now, key=_at)
    wait_s = 0.0
    for window_s, starts, share in PACE:
        allowed = max(1, max(starts, shards, min(starts * shards, int(total * share))) - (count - 1))
        if past >= allowed:
            since_s = (now - ledger.starts[past - allowed].at).total_seconds()
            wait_s = max(wait_s, window_s - since_s)
    return wait_s


def _until_rate(ledger: Ledger, now: datetime, shard_id: int, interval_s: float) -> Answer:
    """Return when Discord takes an IDENTIFY of this shard; a start whose shard is not known blocks every key."""
    keys = 1 if ledger.limit is None else max(1, ledger.limit.max_concurrency)
    interval_s *= _NETWORK
    for start in reversed(ledger.starts):
        since_s = (now - start.at).total_seconds()
        if since_s < 0:
            continue
        if since_s >= interval_s:
            break
        if start.shard_id is None or start.shard_id % keys == shard_id % keys:
            return Answer(interval_s - since_s)
    return GRANTED
