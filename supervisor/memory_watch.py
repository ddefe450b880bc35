"""Looks at every worker's memory when it is due, and does what follows: warns, renews, ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import structs

from flotilla.domain.memory import Finding, Memory, Reading, judge, next_look_s
from flotilla.domain.policy import Policy
from flotilla.domain.worker import MemoryExceeded, Renew, State
from supervisor.chronicle import Chronicle
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.memory import MemoryProbe, MemorySample, MemoryTarget

SCAN_S = 0.25
"""A worker that has just been forked is looked at within this time."""

TIDY_S = 1.0
PATIENT_S = 1.0
"""Workers that are looked at no more often than this are looked at together: a pass costs as much as ten of them."""

WORD_S = 5.0
"""A worker says what it shares with its heartbeat after READY; its page tables are read if it has not by then."""

PASSES_S = 0.01
RENEWED_AT_ONCE = 8
"""A fleet that leaks together is not restarted together; the hard limit holds for those that wait."""

RENEWING_S = 60.0
SNAPSHOT_S = 3.0
"""A worker that could reach its limit within this time is renewed without being asked what its memory is made of."""

Snapshot = Callable[[Member], Awaitable[dict[str, Any]]]
log = structlog.get_logger()


@dataclass(slots=True)
class _Watched:
    """every_s: seconds between two looks now."""

    policy: Policy
    due: float = 0.0
    every_s: float = 0.0
    memory: Memory = field(default_factory=Memory)


class MemoryWatch:
    """What is remembered of every bot's memory, and the loop that looks.

    snapshot: asks a worker what its memory is made of; returns what can be told in a second, or nothing.
    """

    def __init__(
        self,
        fleet: Fleet,
        journal: Journal,
        chronicle: Chronicle,
        snapshot: Snapshot,
        containment: Containment | None = None,
    ) -> None:
        self._fleet = fleet
        self._journal = journal
        self._chronicle = chronicle
        self._snapshot = snapshot
        self._containment = containment or Containment()
        self._probe = MemoryProbe()
        self._watched: dict[str, _Watched] = {}
        self._soon: dict[str, _Watched] = {}
        self._scan_at = self._tidy_at = 0.0
        self._renewing: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            targets = self.due(time.monotonic())
            for sample in await self._probe.sample(targets) if targets else ():
                self._contained(sample)
            await asyncio.sleep(self.pause_s(time.monotonic()))

    def _contained(self, sample: MemorySample) -> None:
        member = self._fleet.get(sample.bot_id)
        if member is not None:
            self._containment.attempt(member.bot, "memory", self.take, sample, time.monotonic())

    def due(self, now: float) -> list[MemoryTarget]:
        """Return the live processes that must be looked at now."""
        if now >= self._scan_at:
            self._scan_at = now + SCAN_S
            self._scan(now)
        targets = []
        for bot_id, watched in self._soon.items():
            if watched.due <= now:
                member = self._fleet.get(bot_id)
                if member is not None and member.process is not None:
                    targets.append(_target(member, member.process.pid))
        return targets

    def pause_s(self, now: float) -> float:
        """Return seconds until the next pass."""
        soonest = min((watched.due for watched in self._soon.values()), default=self._scan_at)
        return max(PASSES_S, min(soonest, self._scan_at) - now)

    def _scan(self, now: float) -> None:
        """Go through all bots: find new workers and those that are due before the next scan."""
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            self._tidy()
        self._soon = {}
        for member in self._fleet:
            if member.process is not None:
                self._containment.retry(member.bot, "looks at its memory", self._line_up, member, now)

    def _line_up(self, member: Member, now: float) -> None:
        watched = self._of(member)
        if member.memory_bytes is None and _is_wanted(member):
            watched.due = 0.0
        if watched.due < self._scan_at:
            if watched.every_s >= PATIENT_S:
                watched.due = now  # a little early, in one pass with the others
            self._soon[member.bot.id] = watched

    def _tidy(self) -> None:
        """Forget what is gone."""
        self._probe.keep_only({member.process.pid for member in self._fleet if member.process is not None})
        for gone in [bot_id for bot_id in self._watched if self._fleet.get(bot_id) is None]:
            del self._watched[gone]

    def take(self, sample: MemorySample, now: float) -> None:
        """Record a sample, act on it, and set when the next is due."""
        member = self._fleet.get(sample.bot_id)
        if member is None or member.worker.pid != sample.pid:
            return
        worker, policy, watched = member.worker, member.policy, self._of(member)
        settled = worker.ready_at is not None and member.clock() - worker.ready_at >= policy.stable_after_s
        renewable = worker.state is State.RUNNING and self._may_renew(now)
        reading = Reading(now, sample.used_bytes, sample.exact, settled, renewable)
        watched.memory, finding = judge(watched.memory, reading, policy)
        watched.every_s = next_look_s(watched.memory, sample.used_bytes, policy)
        watched.due = now + watched.every_s
        if watched.due >= self._scan_at:
            self._soon.pop(member.bot.id, None)
        self._show(member, watched.memory, sample)
        if finding is not Finding.FINE:
            self._act(member, finding, watched.memory, sample.used_bytes)

    def _of(self, member: Member) -> _Watched:
        watched = self._watched.get(member.bot.id)
        if watched is None:
            watched = self._watched[member.bot.id] = _Watched(member.policy)
        if watched.memory.generation != member.worker.generation or watched.policy is not member.policy:
            # Another process, or another limit: what was known of the next look is worth nothing.
            watched.policy, watched.due = member.policy, 0.0
            watched.memory = watched.memory.of(member.worker.generation)
        return watched

    def _may_renew(self, now: float) -> bool:
        for bot_id, (generation, began) in list(self._renewing.items()):
            member = self._fleet.get(bot_id)
            back = member is None or (member.worker.generation > generation and member.worker.ready)
            if back or now - began > RENEWING_S:
                del self._renewing[bot_id]
        return len(self._renewing) < RENEWED_AT_ONCE

    def _show(self, member: Member, memory: Memory, sample: MemorySample) -> None:
        trend = memory.trend
        slope, full_in_s = (None, None) if trend is None else (round(trend.slope_bytes_s, 1), trend.full_in_s)
        full_in_s = None if full_in_s is None else round(full_in_s, 1)
        if (slope, full_in_s) != (member.vitals.memory_slope_bytes_s, member.vitals.memory_full_in_s):
            member.vitals = structs.replace(member.vitals, memory_slope_bytes_s=slope, memory_full_in_s=full_in_s)
        if sample.exact:
            first, member.memory_bytes = member.memory_bytes is None, sample.used_bytes
            if first:
                self._journal.put(member.status())

    def _act(self, member: Member, finding: Finding, memory: Memory, used_bytes: int) -> None:
        generation, policy = member.worker.generation, member.policy
        facts: dict[str, Any] = {
            "generation": generation,
            "used_bytes": used_bytes,
            "limit_bytes": policy.memory_limit_bytes,
            "soft_bytes": policy.memory_soft_bytes,
            "rate_bytes_s": round(memory.rate_bytes_s),
        }
        if memory.trend is not None:
            facts["slope_bytes_s"] = round(memory.trend.slope_bytes_s)
        if finding is Finding.EXCEEDED:
            self._fleet.apply(member, MemoryExceeded(generation))
            self._chronicle.note("memory_limit", member.bot.id, member.bot.name, **facts)
            return
        if finding is Finding.FORETOLD and memory.trend is not None and memory.trend.full_in_s is not None:
            facts["full_in_s"] = round(memory.trend.full_in_s)
        if finding is Finding.RENEW:
            self._renewing[member.bot.id] = generation, time.monotonic()
        missing = policy.memory_limit_bytes - used_bytes
        asked = policy.memory_snapshot and missing > memory.rate_bytes_s * SNAPSHOT_S
        if not asked:
            self._tell(member, finding, facts)
            return
        self._containment.spawn(member.bot, "warning of its memory", self._ask_and_tell(member, finding, facts))

    async def _ask_and_tell(self, member: Member, finding: Finding, facts: dict[str, Any]) -> None:
        heap = await self._snapshot(member)
        self._tell(member, finding, facts | ({"heap": heap} if heap else {}))

    def _tell(self, member: Member, finding: Finding, facts: dict[str, Any]) -> None:
        self._chronicle.note(_CODES[finding], member.bot.id, member.bot.name, **facts)
        if finding is Finding.RENEW:
            self._fleet.apply(member, Renew(facts["generation"], "memory_soft_limit"))


_CODES = {
    Finding.FORETOLD: "memory_forecast",
    Finding.RENEW: "memory_soft_limit",
    Finding.STUCK: "memory_stays_high",
}


def _is_wanted(member: Member) -> bool:
    """Return whether there should be a figure to show by now. Before READY it says nothing, and the limit holds."""
    ready_at = member.worker.ready_at
    if member.memory_bytes is not None or not member.worker.ready or ready_at is None:
        return False
    return member.shared_bytes > 0 or member.clock() - ready_at >= WORD_S


def _target(member: Member, pid: int) -> MemoryTarget:
    policy = member.policy
    return MemoryTarget(
        member.bot.id,
        pid,
        policy.memory_limit_bytes,
        policy.memory_soft_bytes,
        member.shared_bytes,
        not _is_wanted(member),
    )
