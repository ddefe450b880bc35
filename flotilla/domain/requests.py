"""The budget of invalid requests that this host's IP address has, and who is braked for it. Pure: no clock, no I/O.

Discord bans an address that made 10,000 invalid requests (401, 403, and 429 unless its scope is `shared`) within ten
minutes, and every bot on the host with it. Source: Discord, "Rate Limits", invalid request limit.

Seconds are those of CLOCK_MONOTONIC, which all processes of a host share: workers and supervisor name the same bins.
"""

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from flotilla.discord import INVALID_REQUESTS_MAX, INVALID_REQUESTS_WINDOW_S

BIN_S = 10.0
"""The window slides in bins, so it is up to one bin longer than Discord's: it never counts too little."""

RECENT_S = 60.0
"""How far back a bot's pace is looked at."""

SLOW_RATIO, VITAL_RATIO = 0.5, 0.8
LIFT_RATIO = 0.9
"""A brake is lifted below this share of where it was set, so that it does not flutter."""

QUARANTINE_CAP_S = 3600.0
"""A bot that is quarantined again within a window stays twice as long, up to this."""


BELIEVED_AT_ONCE = 1_500
"""Invalid requests of one bot that are believed in a burst. hikari without our guard made 745 in 0.9 s."""

BELIEVED_PER_S = 50.0
"""What is believed of a bot for long: Discord lets it make no more (Rate Limits, global rate limit)."""

BELIEVED_HELD_PER_S = 1.0
"""The same of a bot that is held back: it makes nothing but vital requests, and hardly one of them is invalid."""


class Brake(enum.StrEnum):
    """How much the bots of the host may ask of Discord: all; slowly; nothing but answers to interactions."""

    NONE = "none"
    SLOW = "slow"
    VITAL = "vital"


_LEVELS = list(Brake)


@dataclass(frozen=True, slots=True)
class Rules:
    """limit: invalid requests in ten minutes at which the address is banned. quarantine_s: of a bot's first one."""

    limit: int = INVALID_REQUESTS_MAX
    quarantine_s: float = 300.0

    @property
    def slow_at(self) -> float:
        """Invalid requests in the window at which all bots are slowed."""
        return self.limit * SLOW_RATIO

    @property
    def vital_at(self) -> float:
        """Invalid requests in the window at which only vital requests are let through."""
        return self.limit * VITAL_RATIO

    def alone(self, bots: int) -> int:
        """Return how many invalid requests a worker may make in a window while no supervisor watches it.

        All of `bots` together stay within 40 % of the limit, and with what brings the brake about below the limit.
        """
        return max(5, int(self.limit * 0.4 / max(4, bots)))


def bin_of(second: float) -> int:
    """Return the number of the bin that a monotonic second falls into."""
    return int(second // BIN_S)


class Bins:
    """Counts by bin. Counts only grow; bins that lie behind the window are forgotten."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, number: int, growth: int) -> None:
        """Count `growth` more in a bin."""
        self.counts[number] = self.counts.get(number, 0) + growth

    def since(self, second: float) -> int:
        """Return all that was counted from a monotonic second on, and up to a bin before it."""
        first = bin_of(second)
        return sum(count for number, count in self.counts.items() if number >= first)

    def prune(self, now: float) -> None:
        """Forget what lies behind the window."""
        first = bin_of(now - INVALID_REQUESTS_WINDOW_S)
        if any(number < first for number in self.counts):
            self.counts = {number: count for number, count in self.counts.items() if number >= first}

    def total(self, now: float) -> int:
        """Return what the window holds: never less than was counted in Discord's ten minutes."""
        return self.since(now - INVALID_REQUESTS_WINDOW_S)


Worker = tuple[str, int]
"""A bot's id and a generation of its worker."""


@dataclass(slots=True)
class Belief:
    """How many more invalid requests of a bot are believed now. at: monotonic second of the last look."""

    at: float
    left: float = BELIEVED_AT_ONCE

    def take(self, told: int, now: float, per_s: float) -> int:
        """Return how many of those that a worker of the bot tells of are believed."""
        self.left = min(BELIEVED_AT_ONCE, self.left + max(0.0, now - self.at) * per_s)
        self.at = now
        believed = min(told, int(self.left))
        self.left -= believed
        return believed


class Ledger:
    """The invalid requests of all bots of the host, as their workers report them: cumulative counts by bin.

    A report may be lost, late or repeated: the greatest count of a bin holds.
    """

    def __init__(self) -> None:
        self._all = Bins()
        self._bots: dict[str, Bins] = {}
        self._workers: dict[Worker, Bins] = {}
        self._told: dict[Worker, Bins] = {}
        self._beliefs: dict[str, Belief] = {}  # of bots: a new process has not sent what the one before has
        self._ever: dict[str, int] = {}
        self.liars: set[str] = set()
        """Bots that told of more than a process can have sent, until somebody takes them out."""

    def report(
        self,
        bot_id: str,
        generation: int,
        counts: Iterable[tuple[int, int]],
        now: float,
        believed_per_s: float = BELIEVED_PER_S,
    ) -> int:
        """Take a worker's (bin, cumulative count) pairs; return how many invalid requests are new.

        A bin of the future is this one's; one behind the window counts no more. What a process cannot have sent is not
        counted, and the bot is among the `liars`. believed_per_s: how many a second are believed for long; infinite for
        what we wrote down ourselves.
        """
        first, last = bin_of(now - INVALID_REQUESTS_WINDOW_S), bin_of(now)
        known = self._told.setdefault((bot_id, generation), Bins())
        belief = self._beliefs.setdefault(bot_id, Belief(now))
        growth = 0
        for reported, count in counts:
            number = min(reported, last)
            more = count - known.counts.get(number, 0)
            if more <= 0 or number < first:
                continue
            known.add(number, more)
            believed = more if math.isinf(believed_per_s) else belief.take(more, now, believed_per_s)
            if believed < more:
                self.liars.add(bot_id)
            of_worker = self._workers.setdefault((bot_id, generation), Bins())
            for bins in (of_worker, self._bots.setdefault(bot_id, Bins()), self._all):
                bins.add(number, believed)
            growth += believed
        self._ever[bot_id] = self._ever.get(bot_id, 0) + growth
        return growth

    def disown(self, bot_id: str) -> None:
        """Take out all that a bot's workers told of: who tells of what cannot be is believed in nothing.

        What it has told of already is not new when it is told again.
        """
        gone = self._bots.pop(bot_id, None)
        for number, count in ({} if gone is None else gone.counts).items():
            self._all.add(number, -count)
        self._workers = {key: bins for key, bins in self._workers.items() if key[0] != bot_id}

    def total(self, now: float) -> int:
        """Return the invalid requests of all bots in the window."""
        return self._all.total(now)

    def of(self, bot_id: str, now: float) -> int:
        """Return the invalid requests of a bot in the window."""
        bins = self._bots.get(bot_id)
        return 0 if bins is None else bins.total(now)

    def ever(self, bot_id: str) -> int:
        """Return all that was ever counted of a bot; it only grows."""
        return self._ever.get(bot_id, 0)

    def recent(self, now: float) -> dict[str, int]:
        """Return the invalid requests of the last minute of each bot that made some."""
        counts = {bot_id: bins.since(now - RECENT_S) for bot_id, bins in self._bots.items()}
        return {bot_id: count for bot_id, count in counts.items() if count}

    def prune(self, now: float) -> None:
        """Forget what lies behind the window."""
        for bins in (self._all, *self._bots.values(), *self._workers.values(), *self._told.values()):
            bins.prune(now)
        self._told = {key: bins for key, bins in self._told.items() if bins.counts}
        self._workers = {key: bins for key, bins in self._workers.items() if bins.counts}
        told = {bot_id for bot_id, _ in self._told}
        self._beliefs = {bot_id: belief for bot_id, belief in self._beliefs.items() if bot_id in told}
        self._bots = {bot_id: bins for bot_id, bins in self._bots.items() if bins.counts}

    def entries(self) -> list[tuple[str, int, int, int]]:
        """Return all that is known as (bot id, generation, bin, cumulative count), as far as it is believed."""
        return [(*key, number, count) for key, bins in self._workers.items() for number, count in bins.counts.items()]


def brake_at(total: int, rules: Rules, before: Brake) -> Brake:
    """Return the brake for `total` invalid requests in the window; `before`: the one that is set now."""
    for level, threshold in ((Brake.VITAL, rules.vital_at), (Brake.SLOW, rules.slow_at)):
        is_set = _LEVELS.index(before) >= _LEVELS.index(level)
        if total >= threshold * (LIFT_RATIO if is_set else 1):
            return level
    return Brake.NONE


def to_quarantine(recent: Mapping[str, int], total: int, bots: int, rules: Rules) -> list[str]:
    """Return the bots to hold back, the worst first, until what the rest adds is harmless.

    Harmless: a minute like the last one does not bring the host to `vital_at`, and ten of them not to `slow_at`. A bot
    within its fair share of that is never held back. recent: invalid requests of the last minute, by bot, of those that
    are not held back yet. bots: how many live on the host.
    """
    sustained = rules.slow_at * RECENT_S / INVALID_REQUESTS_WINDOW_S
    harmless = min(sustained, max(0.0, rules.vital_at - total))
    fair = sustained / max(1, bots)
    rest, chosen = sum(recent.values()), []
    for bot_id, count in sorted(recent.items(), key=lambda item: (-item[1], item[0])):
        if rest <= harmless or count <= fair:
            break
        chosen.append(bot_id)
        rest -= count
    return chosen


@dataclass(frozen=True, slots=True)
class _Past:
    """The last quarantine of a bot: when it ended, how long it was, and what was ever counted of the bot by then."""

    ended: float
    period_s: float
    ever: int


@dataclass(slots=True)
class Quarantine:
    """Of one bot. until: monotonic second. period_s: how long at least. mark: what was ever counted of it, half-way."""

    until: float
    period_s: float
    mark: int | None = None


class Saved(msgspec.Struct, frozen=True):
    """What the next supervisor needs to know. quarantines: (bot id, until, period in seconds)."""

    counts: tuple[tuple[str, int, int, int], ...] = ()
    quarantines: tuple[tuple[str, float, float], ...] = ()
    brake: Brake = Brake.NONE


class Budget:
    """What the address has left, who is held back, and which brake is set. `now` is a monotonic second throughout."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.ledger = Ledger()
        self.brake = Brake.NONE
        self.quarantines: dict[str, Quarantine] = {}
        self._past: dict[str, _Past] = {}

    def report(self, bot_id: str, generation: int, counts: Iterable[tuple[int, int]], now: float) -> int:
        """Take what a worker tells; return how many invalid requests are new, and believed."""
        per_s = BELIEVED_HELD_PER_S if bot_id in self.quarantines else BELIEVED_PER_S
        return self.ledger.report(bot_id, generation, counts, now, per_s)

    def judge(self, now: float, bots: int) -> tuple[list[str], list[str]]:
        """Set the brake as it should be; return the bots newly quarantined, and those released.

        A bot that told of what cannot be is held back, for longer if it is already, before anybody else is braked for
        what it told. bots: how many live on the host.
        """
        self.ledger.prune(now)
        liars = sorted(self.ledger.liars)
        self.ledger.liars.clear()
        for bot_id in liars:
            self.ledger.disown(bot_id)
            if (held := self.quarantines.get(bot_id)) is not None:
                held.until = max(held.until, now + held.period_s)
        total = self.ledger.total(now)
        self.brake = brake_at(total, self.rules, self.brake)
        released = [bot_id for bot_id, held in self.quarantines.items() if self._is_over(bot_id, held, now, bots)]
        for bot_id in released:
            self._past[bot_id] = _Past(now, self.quarantines.pop(bot_id).period_s, self.ledger.ever(bot_id))
        chosen = [bot_id for bot_id in liars if bot_id not in self.quarantines]
        if self.brake is not Brake.NONE:
            recent = {bot_id: count for bot_id, count in self._recent(now).items() if bot_id not in chosen}
            chosen += to_quarantine(recent, total, bots, self.rules)
        for bot_id in chosen:
            period_s = self._period_s(bot_id, now)
            self.quarantines[bot_id] = Quarantine(now + period_s, period_s)
        return chosen, released

    def saved(self) -> Saved:
        """Return what the next supervisor needs to know."""
        held = tuple((bot_id, each.until, each.period_s) for bot_id, each in self.quarantines.items())
        return Saved(tuple(self.ledger.entries()), held, self.brake)

    def restore(self, saved: Saved, shift_s: float, now: float) -> None:
        """Take over what was saved. shift_s: added to its seconds; a bin that is split counts as the later one.

        A quarantine that would last longer than any does is cut to that.
        """
        by_worker: dict[Worker, Bins] = {}
        for bot_id, generation, number, count in saved.counts:
            moved = min(bin_of(now), math.ceil(number + shift_s / BIN_S))
            by_worker.setdefault((bot_id, generation), Bins()).add(moved, max(0, count))
        for (bot_id, generation), bins in by_worker.items():
            self.ledger.report(bot_id, generation, bins.counts.items(), now, math.inf)
        longest_s = max(QUARANTINE_CAP_S, self.rules.quarantine_s)
        for bot_id, until, period_s in saved.quarantines:
            if 0 < period_s <= longest_s:
                self.quarantines[bot_id] = Quarantine(min(until + shift_s, now + longest_s), period_s)
        self.brake = saved.brake

    def _recent(self, now: float) -> dict[str, int]:
        """Return the last minute of each bot that is not held back, without what a quarantine was for already."""
        free = {bot_id: count for bot_id, count in self.ledger.recent(now).items() if bot_id not in self.quarantines}
        for bot_id, past in self._past.items():
            if bot_id in free:
                free[bot_id] = min(free[bot_id], self.ledger.ever(bot_id) - past.ever)
        return free

    def _period_s(self, bot_id: str, now: float) -> float:
        self._past = {each: past for each, past in self._past.items() if now - past.ended < INVALID_REQUESTS_WINDOW_S}
        if bot_id not in self._past:
            return self.rules.quarantine_s
        return min(max(QUARANTINE_CAP_S, self.rules.quarantine_s), 2 * self._past[bot_id].period_s)

    def _is_over(self, bot_id: str, held: Quarantine, now: float, bots: int) -> bool:
        """Return whether a quarantine may end; one whose bot made too many even while it was held back goes on.

        Only its second half is looked at: what was under way when it began is no fault of the bot's.
        """
        ever = self.ledger.ever(bot_id)
        if held.mark is None and now >= held.until - held.period_s / 2:
            held.mark = ever
        if now < held.until:
            return False
        pace = max(0, ever - (held.mark or 0)) * INVALID_REQUESTS_WINDOW_S / (held.period_s / 2)
        if pace <= self.rules.slow_at / max(1, bots) / 2:
            return True
        held.until, held.mark = now + held.period_s, None
        return False
