"""Grants session starts: recorded first, granted then, so that none is forgotten whoever dies in between."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import structlog
from msgspec import structs

from flotilla.domain.second_instance import foreign_starts
from flotilla.domain.sessions import (
    BUDGET_REASONS,
    FLOOR,
    Answer,
    Cause,
    Ledger,
    Limit,
    Standing,
    Start,
    cold_cost,
    decide,
    is_ahead,
    is_fresh,
    jumped,
    standing,
)
from flotilla.ports import SessionStore
from flotilla.protocol import AskIdentify, GatewayAnswer, GatewaySeen, IdentifiedAlone, MayIdentify, NotYet, ToWorker
from supervisor.chronicle import Chronicle
from supervisor.containment import Containment
from supervisor.member import Member
from supervisor.writer import Writer

HELD = 2 / 3
"""Of the time after which a worker takes this supervisor for dead: for so long a shard waits for its turn with its
connection open. For longer it is sent away."""

STORE_WAIT_S = 2.0
UNSTORED = 3
"""While the database is away so many starts of an application are granted with no record but the one in memory."""

ALONE = 2
"""How often a worker may identify by itself when no supervisor answers; never from the reserve."""

WARN_AGAIN_S = 3600.0
FAR_S = 30 * 86_400.0
URL_MAX = 500
SHARDS_MAX = 4096
SHOWN_FOR = timedelta(seconds=30)
_EMPTY = Ledger()
RUNNING_OUT = 0.8
"""Share of the starts that are not kept for people above which an operator is told."""

log = structlog.get_logger()


def steady_clock() -> Callable[[], datetime]:
    """Return a clock of aware UTC times that goes on evenly when the system's is set, and through a suspend."""
    began, wall = time.clock_gettime(time.CLOCK_BOOTTIME), datetime.now(UTC)
    return lambda: wall + timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - began)


@dataclass(slots=True)
class _Grant:
    """The last start that was granted to a shard. mark: of the record behind it."""

    generation: int
    number: int
    mark: int


class Sessions:
    """The ledgers of all applications on this host, and who may begin a session now.

    tell: sends a message to a bot's worker. interval_s: Discord's between two IDENTIFYs of a key. booted_at: when
    the host started, for tests as `clock` is.
    """

    def __init__(
        self,
        store: SessionStore,
        chronicle: Chronicle,
        tell: Callable[[str, ToWorker], bool],
        *,
        interval_s: float,
        alone_after_s: float = 12.0,
        clock: Callable[[], datetime] | None = None,
        booted_at: datetime | None = None,
        containment: Containment | None = None,
    ) -> None:
        self._containment = containment or Containment()
        self._store = store
        self._chronicle = chronicle
        self._tell = tell
        self._interval_s = interval_s
        self._alone_after_s = alone_after_s
        self._now = clock or steady_clock()
        self._booted_at = booted_at or datetime.fromtimestamp(psutil.boot_time(), UTC)
        self._ledgers: dict[str, Ledger] = {}
        self._grants: dict[tuple[str, int], _Grant] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._warned: dict[tuple[str, str], float] = {}
        self._shown: dict[str, tuple[tuple[Ledger, int, bool], datetime]] = {}
        self.writer: Writer[tuple[str, Start | Limit]] = Writer(
            "session starts", self._save, chronicle.not_stored, owner=lambda _: None
        )

    async def load(self, seen_at: datetime | None = None) -> None:
        """Read what is recorded, before anybody asks. Raises RetryError.

        seen_at: when a supervisor was last here. Should the clock have jumped since, no start is forgotten for it.
        """
        now = self._now()
        if seen_at is not None and jumped(seen_at, now):
            await self._redate(seen_at, now)
        self._ledgers = await self._store.ledgers(now)
        if any(is_ahead(ledger, now) for ledger in self._ledgers.values()):
            await self._redate(now, now)
            self._ledgers = await self._store.ledgers(now)

    async def _redate(self, seen_at: datetime, now: datetime) -> None:
        starts = await self._store.redate(seen_at, now)
        log.warning("sessions.clock_jumped", starts=starts, by_s=round((now - seen_at).total_seconds()))

    # Asked by the fleet ----------------------------------------------------------------------------------------------

    def withheld(self, member: Member) -> tuple[str, float] | None:
        """Return why a worker that needs a session start need not be spawned, and for how many seconds.

        None: spawn it. Only a bot that waits for its budget has no session to resume for certain.
        """
        if member.worker.reason not in BUDGET_REASONS:
            return None
        count = cold_cost(self._ledger(member))
        answer = self._decide(member, member.start_cause, 0, interval_s=0, count=count)
        if answer.wait_s <= 0:
            return None
        self._refused(member, answer)
        return answer.code or "session_budget", answer.wait_s

    def affordable(self, member: Member) -> bool:
        """Return whether a bot could begin new sessions now without anybody asking for it, should it have to."""
        count = cold_cost(self._ledger(member))
        return self._decide(member, Cause.PLANNED, 0, interval_s=0, count=count).wait_s <= 0

    # Asked by workers ------------------------------------------------------------------------------------------------

    def take(self, member: Member, generation: int, message: AskIdentify | IdentifiedAlone | GatewaySeen) -> None:
        """Take what a worker asks or tells."""
        match message:
            case AskIdentify():
                self.ask(member, generation, message)
            case IdentifiedAlone():
                self._identified_alone(member, message)
            case GatewaySeen(answer):
                self._seen(member, answer)

    def gateway(self, member: Member) -> GatewayAnswer | None:
        """Return what Discord lately said of the bot's application, for its next worker.

        Nothing from before the host started: the records of its last moments may be lost, so Discord is asked.
        """
        now, limit = self._now(), self._ledger(member).limit
        if limit is None or not is_fresh(limit, now) or limit.seen_at <= self._booted_at:
            return None
        left = self._standing(member).left
        reset_after_s = max(0.0, (limit.resets_at - now).total_seconds())
        return GatewayAnswer(limit.url, limit.shards, limit.total, left, limit.max_concurrency, reset_after_s)

    def alone(self, member: Member) -> tuple[int, float]:
        """Return how often the bot's worker may identify when nobody answers it for the seconds that follow."""
        stands = self._standing(member)
        return max(0, min(ALONE, stands.left - max(FLOOR, stands.reserve))), self._alone_after_s

    def _seen(self, member: Member, told: GatewayAnswer) -> None:
        """Note what Discord answered a worker: for its own application, and no other."""
        numbers = (told.shards, told.total, told.max_concurrency)
        if min(numbers) < 1 or told.remaining < 0 or not 0 <= told.reset_after_s <= FAR_S or len(told.url) > URL_MAX:
            log.warning("sessions.nonsense", bot=member.bot.name, told=repr(told)[:URL_MAX])
            return
        now = self._now()
        limit = Limit(
            told.url,
            told.shards,
            told.total,
            told.remaining,
            told.max_concurrency,
            now + timedelta(seconds=told.reset_after_s),
            now,
        )
        application_id, ledger = member.bot.application_id, self._ledger(member)
        foreign = 0 if self.writer.is_away else foreign_starts(ledger.limit, limit, ledger.starts)
        if foreign and self._is_due(member, "second_instance"):
            self._chronicle.note("second_instance", member.bot.id, member.bot.name, session_starts=foreign)
        self._ledgers[application_id] = ledger.with_limit(limit)
        self.writer.put((application_id, limit), key=application_id)
        self.show(member)

    def _identified_alone(self, member: Member, told: IdentifiedAlone) -> None:
        """Record a start that was made while nobody could be asked."""
        ago_s = min(max(0.0, told.ago_s), FAR_S)
        log.warning("sessions.alone", bot=member.bot.name, shard_id=told.shard_id, ago_s=round(ago_s, 1))
        self._record(member, Start(self._now() - timedelta(seconds=ago_s), Cause.ALONE, told.shard_id))

    def ask(self, member: Member, generation: int, question: AskIdentify) -> None:
        """Answer a shard that wants to identify: soon, or with how long it must wait."""
        if not 0 <= question.shard_id < SHARDS_MAX:
            log.warning("sessions.nonsense", bot=member.bot.name, told=repr(question))
            return
        if generation != member.worker.generation:
            return  # it has been replaced meanwhile, and the next one may be waiting for its own answer
        key = member.bot.id, question.shard_id
        before = self._asking.get(key)
        if before is not None:
            before.cancel()
        work = self._answer(member, generation, question)
        task = self._asking[key] = self._containment.spawn(member.bot, "session start", work)
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]

    async def _answer(self, member: Member, generation: int, question: AskIdentify) -> None:
        bot_id, shard_id, number = member.bot.id, question.shard_id, question.number
        granted = self._grants.get((bot_id, shard_id))
        if granted is None or (granted.generation, granted.number) != (generation, number):
            # What a person asked for is one start; should it fail, the next one is no longer theirs.
            again = granted is not None and granted.generation == generation
            cause = Cause.RENEWED if question.renewed else Cause.CRASH if again else member.start_cause
            answer = await self._turn(member, cause, shard_id, self._to_come(member, generation, question))
            if member.worker.generation != generation:
                return
            if answer.wait_s > 0:
                self._refused(member, answer)
                self._tell(bot_id, NotYet(shard_id, number, answer.wait_s, answer.code))
                return
            mark = self._record(member, Start(self._now(), cause, shard_id))
            granted = self._grants[bot_id, shard_id] = _Grant(generation, number, mark)
        await self._until_stored(member, granted.mark)
        self._tell(bot_id, MayIdentify(shard_id, number))

    def _to_come(self, member: Member, generation: int, question: AskIdentify) -> int:
        """Return how many shards of a bot that starts are still to begin a session, this one included."""
        if question.renewed:
            return 1
        mine = sum(key[0] == member.bot.id and it.generation == generation for key, it in self._grants.items())
        return max(1, cold_cost(self._ledger(member)) - mine)

    async def _turn(self, member: Member, cause: str, shard_id: int, count: int) -> Answer:
        """Wait for the shard's turn, or return how long it would have to wait."""
        deadline = time.monotonic() + self._alone_after_s * HELD
        while True:
            answer = self._decide(member, cause, shard_id, interval_s=self._interval_s, count=count)
            if answer.wait_s <= 0 or time.monotonic() + answer.wait_s > deadline:
                return answer
            await asyncio.sleep(answer.wait_s)

    async def _until_stored(self, member: Member, mark: int) -> None:
        """Return when a record is safe, or if few are not and the database is away: one that is slow is waited for."""
        while True:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.writer.stored(mark), STORE_WAIT_S)
            application_id, is_away = member.bot.application_id, self.writer.is_away
            waiting = sum(key == application_id and isinstance(it, Start) for key, it in self.writer.waiting())
            log.warning("sessions.unstored", bot=member.bot.name, starts=waiting, database_away=is_away)
            if is_away and waiting <= UNSTORED:
                return None

    def _decide(self, member: Member, cause: str, shard_id: int, *, interval_s: float, count: int) -> Answer:
        return decide(
            self._ledger(member),
            self._now(),
            cause,
            shard_id=shard_id,
            reserve=member.policy.session_reserve,
            interval_s=interval_s,
            count=count,
        )

    def _standing(self, member: Member) -> Standing:
        return standing(self._ledger(member), self._now(), reserve=member.policy.session_reserve)

    def _ledger(self, member: Member) -> Ledger:
        return self._ledgers.get(member.bot.application_id, _EMPTY)

    # Records ---------------------------------------------------------------------------------------------------------

    def _record(self, member: Member, start: Start) -> int:
        application_id = member.bot.application_id
        # Each has a microsecond of its own, by which the database tells it from another.
        taken = {other.at for other in self._ledger(member).starts}
        while start.at in taken:
            start = replace(start, at=start.at + timedelta(microseconds=1))
        self._ledgers[application_id] = self._ledger(member).since(self._now()).with_start(start)
        self.show(member)
        self._warn_if_few(member)
        return self.writer.put((application_id, start))

    async def _save(self, rows: Sequence[tuple[str, Start | Limit]]) -> None:
        starts = [(key, it) for key, it in rows if isinstance(it, Start)]
        await self._store.record(starts, [(key, it) for key, it in rows if isinstance(it, Limit)])

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed. Its application's ledger stays: its day is spent."""
        self._grants = {key: grant for key, grant in self._grants.items() if key[0] != bot_id}
        self._warned = {key: at for key, at in self._warned.items() if key[0] != bot_id}
        self._shown.pop(bot_id, None)

    # Shown -----------------------------------------------------------------------------------------------------------

    def show(self, member: Member) -> None:
        """Bring what is shown of a bot's session starts up to date.

        While nothing happens, only what time changes: starts that are a day old, a limit that Discord has reset.
        """
        now, ledger = self._now(), self._ledger(member)
        waits = member.process is None and member.worker.reason in BUDGET_REASONS
        key = ledger, member.policy.session_reserve, waits
        before, at = self._shown.get(member.bot.id, (None, now))
        if key == before and not waits and timedelta() <= now - at < SHOWN_FOR:
            return
        self._shown[member.bot.id] = key, now
        stands = self._standing(member)
        member.vitals = structs.replace(
            member.vitals,
            session_starts_24h=stands.spent,
            session_starts_left=stands.left,
            session_starts_total=stands.total,
            session_starts_back_at=stands.back_at,
            session_start_at=now + timedelta(seconds=stands.automatic_in_s) if waits else None,
        )

    def _warn_if_few(self, member: Member) -> None:
        stands = self._standing(member)
        if stands.total - stands.left >= (stands.total - stands.reserve) * RUNNING_OUT:
            self._warn(member, "few", left=stands.left, spent_24h=stands.spent)

    def _refused(self, member: Member, answer: Answer) -> None:
        if answer.code is None:
            return
        self.show(member)
        wait_s, stands = round(answer.wait_s), self._standing(member)
        log.warning(
            "sessions.refused", bot=member.bot.name, reason=answer.code, cause=member.start_cause, wait_s=wait_s
        )
        self._warn(member, answer.code, left=stands.left, spent_24h=stands.spent, wait_s=wait_s)

    def _warn(self, member: Member, what: str, **detail: Any) -> None:  # noqa: ANN401 - as JSON has it
        if self._is_due(member, what):
            self._chronicle.note("session_budget", member.bot.id, member.bot.name, **detail)

    def _is_due(self, member: Member, what: str) -> bool:
        """Return whether something may be told of a bot, and take it for told then."""
        key, now = (member.bot.id, what), time.monotonic()
        if now - self._warned.get(key, -WARN_AGAIN_S) < WARN_AGAIN_S:
            return False
        self._warned[key] = now
        return True
