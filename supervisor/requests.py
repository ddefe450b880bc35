"""The invalid requests of this host: counts what workers report, brakes them, and remembers across its own restarts."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from flotilla.domain.requests import Brake, Budget, Rules
from flotilla.domain.vitals import HostVitals
from flotilla.protocol import InvalidRequests, RequestLimits, Throttle, ToWorker
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.requestfile import read, write

JUDGE_EVERY_S = 0.25
JUDGE_AGAIN_S = 0.05
"""A report that reaches a brake is judged at once, but many at the same time not one by one."""

SHOW_EVERY_S = 1.0
SAVE_EVERY_S = 2.0
RENEW_EVERY_S = 60.0
"""Orders to hold back lapse in a worker that hears nothing; this is how often they are renewed."""

log = structlog.get_logger()


class Requests:
    """The budget of this host's address. path: where it is kept for the next supervisor."""

    def __init__(
        self,
        rules: Rules,
        slow_per_s: float,
        path: Path,
        fleet: Fleet,
        journal: Journal,
        chronicle: Chronicle,
        tell: Callable[[str, ToWorker], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = Budget(rules)
        self._slow_per_s = slow_per_s
        self._path = path
        self._fleet = fleet
        self._journal = journal
        self._chronicle = chronicle
        self._tell = tell
        self._clock = clock
        self._judged_at = self._shown_at = self._saved_at = self._renewed_at = clock()
        self._most: dict[str, str] = {}

    def remember(self) -> None:
        """Go on where the supervisor before stopped. Workers that live tell their part anew."""
        now = self._clock()
        known = read(self._path, self._budget, now, time.time())
        self._judge(now)
        log.info("requests.remembered", known=known, invalid_requests_10m=self._budget.ledger.total(now))

    def take(self, member: Member, generation: int, report: InvalidRequests) -> None:
        """Count what a worker reports, act on it, and answer: a worker without an answer thinks itself alone."""
        now = self._clock()
        bot_id = member.bot.id
        if self._budget.report(bot_id, generation, report.bins, now):
            self._most[bot_id] = report.most
        pressing = bool(self._budget.ledger.liars) or self._budget.ledger.total(now) >= self._budget.rules.slow_at
        if pressing and now - self._judged_at >= JUDGE_AGAIN_S:
            self._judge(now)
        self._tell(bot_id, Throttle(self.limits_of(bot_id)))

    def limits_of(self, bot_id: str) -> RequestLimits:
        """Return what a bot may ask of Discord now."""
        rules = self._budget.rules
        return RequestLimits(
            brake=self._budget.brake,
            quarantined=bot_id in self._budget.quarantines,
            slow_per_s=self._slow_per_s,
            report_at=max(1, rules.limit // 1000),
            alone=rules.alone(len(self._fleet)),
        )

    def vitals(self) -> HostVitals:
        """Return how the address is."""
        total, rules = self._budget.ledger.total(self._clock()), self._budget.rules
        return HostVitals(
            invalid_requests_10m=total, brake=self._budget.brake.value, invalid_requests_limit=rules.limit
        )

    async def run(self) -> None:
        """Judge, show and save until cancelled."""
        while True:
            now = self._clock()
            self._judge(now)
            if now - self._renewed_at >= RENEW_EVERY_S:
                self._renewed_at = now
                self._renew()
            if now - self._shown_at >= SHOW_EVERY_S:
                self._shown_at = now
                self._show(now)
            if now - self._saved_at >= SAVE_EVERY_S:
                self._saved_at = now
                await asyncio.to_thread(write, self._path, self._budget.saved(), now, time.time())
            await asyncio.sleep(JUDGE_EVERY_S)

    def save(self) -> None:
        """Keep everything for the next supervisor now."""
        write(self._path, self._budget.saved(), self._clock(), time.time())

    def _judge(self, now: float) -> None:
        self._judged_at = now
        before = self._budget.brake
        quarantined, released = self._budget.judge(now, max(1, self._live()))
        if self._budget.brake is not before:
            self._braked(before, now)
        for code, bot_ids in (("quarantined", quarantined), ("released", released)):
            for bot_id in bot_ids:
                self._note(code, bot_id, now)
        everybody = [member.bot.id for member in self._fleet]
        for bot_id in everybody if self._budget.brake is not before else (*quarantined, *released):
            self._tell(bot_id, Throttle(self.limits_of(bot_id)))
        if quarantined or released:
            self._show(now)

    def _live(self) -> int:
        return sum(member.process is not None for member in self._fleet)

    def _braked(self, before: Brake, now: float) -> None:
        brake, facts = self._budget.brake, self.vitals()
        log.warning(
            "requests.brake", before=before.value, brake=brake.value, invalid_requests=facts.invalid_requests_10m
        )
        if list(Brake).index(brake) > list(Brake).index(before):
            worst = sorted(self._budget.ledger.recent(now).items(), key=lambda item: -item[1])[:5]
            self._chronicle.note(
                "invalid_requests",
                brake=brake.value,
                invalid_requests_10m=facts.invalid_requests_10m,
                limit=facts.invalid_requests_limit,
                worst_last_minute=[{"bot": self._name(bot_id), "invalid_requests": count} for bot_id, count in worst],
            )

    def _note(self, code: str, bot_id: str, now: float) -> None:
        held = self._budget.quarantines.get(bot_id)
        detail: dict[str, Any] = {"invalid_requests_10m": self._budget.ledger.of(bot_id, now)}
        if held is not None:
            detail |= {"at_least_s": round(held.period_s), "most": self._most.get(bot_id, "")}
        self._chronicle.note(code, bot_id, self._name(bot_id), **detail)

    def _name(self, bot_id: str) -> str:
        member = self._fleet.get(bot_id)
        return bot_id if member is None else member.bot.name

    def _renew(self) -> None:
        for member in self._fleet:
            limits = self.limits_of(member.bot.id)
            if limits.quarantined or limits.brake is not Brake.NONE:
                self._tell(member.bot.id, Throttle(limits))

    def _show(self, now: float) -> None:
        """Bring the vitals of all bots up to date. The supervisor stores those of bots with a process now and then."""
        for member in self._fleet:
            made = self._budget.ledger.of(member.bot.id, now)
            shown = member.vitals
            count = made if made or member.process is not None else None
            quarantined = member.bot.id in self._budget.quarantines or None
            if (count, quarantined) != (shown.invalid_requests_10m, shown.quarantined):
                member.vitals = structs.replace(shown, invalid_requests_10m=count, quarantined=quarantined)
                if member.process is None or quarantined != shown.quarantined:
                    self._journal.put(member.status())
        self._most = {bot_id: most for bot_id, most in self._most.items() if self._budget.ledger.of(bot_id, now)}
