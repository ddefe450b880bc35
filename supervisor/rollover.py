"""Carries roll-overs out: reads what is asked for, lets `flotilla.domain.rollover.step` decide, does as it says."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flotilla.domain.diagnosis import Exit
from flotilla.domain.rollover import (
    Begun,
    BotFailed,
    CameUp,
    Discard,
    Effect,
    Event,
    Looked,
    Move,
    MoveBack,
    NewLost,
    NotUp,
    OldLost,
    Pace,
    Promote,
    Return,
    Sight,
    StartServer,
    step,
    taken_up,
)
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverStatus, RolloverView
from flotilla.domain.worker import Renew, Restart, State
from flotilla.errors import RetryError
from flotilla.ports import RolloverStore
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.forkserver import NotUpError
from supervisor.forkservers import ForkServers
from supervisor.member import Member, is_wanted
from supervisor.writer import Writer

TICK_S = 0.05
SAVE_EVERY_S = 0.25
_OWNS_PROCESS = {State.STARTING, State.RUNNING, State.STOPPING}
_RESTS = {State.BACKOFF, State.FATAL}
log = structlog.get_logger()


class Rollovers:
    """Takes up the roll-over that is asked for, one at a time, until cancelled."""

    def __init__(
        self,
        store: RolloverStore,
        fleet: Fleet,
        servers: ForkServers,
        chronicle: Chronicle,
        pace: Pace,
        poll_s: float,
    ) -> None:
        self._store = store
        self._chronicle = chronicle
        self._fleet = fleet
        self._servers = servers
        self._pace = pace
        self._poll_s = poll_s
        self._look_now = asyncio.Event()
        self._current: _Run | None = None
        self.writer: Writer[RolloverStatus] = Writer(
            "roll-over",
            self._save,
            chronicle.not_stored,
            owner=lambda _: None,
            lesser=lambda row: replace(row, reason=None, details=None),
        )

    def look(self) -> None:
        """Look now whether there is something to do."""
        self._look_now.set()

    def note_exit(self, member: Member, end: Exit) -> None:
        """A worker's incarnation has ended; its fork server is still noted in `member`."""
        if self._current is not None:
            self._current.note_exit(member, end)

    async def run(self) -> None:
        """Carry out what is asked for until cancelled. A database that is away is asked again at the next poll."""
        while True:
            try:
                found = await self._store.unfinished()
                if found is not None:
                    self._current = _Run(found, self.writer, self._fleet, self._servers, self._pace)
                    ended = await self._current.carry_out()
                    if ended.phase is not Phase.DONE:
                        self._tell(ended)
            except RetryError as fault:
                log.warning("rollover.database_away", error=fault.message)
            finally:
                self._current = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._poll_s)
            self._look_now.clear()

    async def _save(self, rows: Sequence[RolloverStatus]) -> None:
        for row in rows:
            await self._store.save(row)

    def _tell(self, ended: RolloverStatus) -> None:
        self._chronicle.note(
            "rollover_failed",
            distinct=ended.rollover_id,
            rollover_id=ended.rollover_id,
            ended_as=ended.phase.value,
            why=ended.reason,
            moved=ended.moved,
            total=ended.total,
        )


class _Run:
    """One roll-over under way."""

    def __init__(
        self,
        found: RolloverView,
        writer: Writer[RolloverStatus],
        fleet: Fleet,
        servers: ForkServers,
        pace: Pace,
    ) -> None:
        self._writer = writer
        self._fleet = fleet
        self._servers = servers
        patience_s = (m.policy.startup_timeout_s + m.policy.stop_grace_s for m in fleet)
        self._pace = replace(pace, ready_within_s=max(patience_s, default=pace.ready_within_s))
        self._plan = taken_up(found.status.phase)
        self._status = replace(found.status, started_at=found.status.started_at or datetime.now(UTC))
        self._left_by_another = not self._plan.way_back
        self._old: int | None = None
        self._new: int | None = None
        self._saved: RolloverStatus | None = None
        self._saved_at = 0.0

    def note_exit(self, member: Member, end: Exit) -> None:
        """Decide before the next incarnation is forked, so that it comes from the right fork server."""
        if end.reason is not None and self._is_new(member):
            self._give(BotFailed(member.bot.id, member.bot.name, end.reason))

    async def carry_out(self) -> RolloverStatus:
        """Go on until it is finished and stored as that; return how. It begins when the database has taken that."""
        log.info("rollover.taken_up", rollover_id=self._status.rollover_id, phase=self._status.phase.value)
        if StartServer() in self._give(Begun()):
            self._put(self._observe())
            await self._writer.stored()
            self._give(await self._come_up())
        while self._plan.phase not in FINISHED:
            for event in self._events():
                self._give(event)
            self._save_now_and_then()
            await asyncio.sleep(TICK_S)
        ended = self._observe()
        self._put(ended)
        await self._writer.stored()
        return ended

    async def _come_up(self) -> CameUp | NotUp:
        try:
            if self._left_by_another:
                self._new = await self._servers.serving()
            else:
                self._old = self._servers.serving_number
                self._new = await self._servers.start_new()
        except NotUpError as fault:
            return NotUp(fault.why, fault.details)
        return CameUp()

    # Events ----------------------------------------------------------------------------------------------------------

    def _events(self) -> Iterator[Event]:
        """Yield what has happened since the last time, the look at the fleet last."""
        if self._old is not None and self._servers.serving_number != self._old:
            self._old = None
            yield OldLost()
        if self._new is not None and not self._servers.lives(self._new):
            yield NewLost()
        yield Looked({member.bot.id: self._sight(member) for member in self._fleet})

    def _sight(self, member: Member) -> Sight:
        worker = member.worker
        return Sight(
            name=member.bot.name,
            wanted=is_wanted(member.bot),
            alive=worker.state in _OWNS_PROCESS,
            starting=worker.state is State.STARTING,
            ready=worker.ready,
            sound=worker.ready and worker.failures == 0,
            new=self._is_new(member),
            resting=worker.state in _RESTS,
            failing=worker.failures > 0,
        )

    def _is_new(self, member: Member) -> bool:
        if self._new is None or member.fork_server is None:
            return False
        if self._left_by_another:
            # Those that the supervisor before has moved have the new code as well.
            return member.fork_server >= min(self._status.new_server or self._new, self._new)
        return member.fork_server == self._new

    # Effects ---------------------------------------------------------------------------------------------------------

    def _give(self, event: Event) -> tuple[Effect, ...]:
        before = self._plan.phase
        self._plan, effects = step(self._plan, event, self._fleet.now(), self._pace)
        for effect in effects:
            self._carry(effect)
        if self._plan.phase is not before:
            tell = log.info if self._plan.reason is None else log.error
            tell(
                "rollover.phase",
                rollover_id=self._status.rollover_id,
                before=before.value,
                after=self._plan.phase.value,
                new_server=self._new,
                reason=self._plan.reason,
            )
        return effects

    def _carry(self, effect: Effect) -> None:
        match effect:
            case Move(bot_id):
                self._servers.move(bot_id)
                self._renew(bot_id)
            case Return():
                self._servers.return_all()
            case MoveBack(bot_id):
                self._renew(bot_id)
            case Promote():
                self._servers.promote()
            case Discard():
                self._servers.discard()
            case StartServer():
                return  # takes its time: `carry_out` waits for it

    def _renew(self, bot_id: str) -> None:
        member = self._fleet.get(bot_id)
        if member is None or not is_wanted(member.bot):
            return
        running = member.worker.state is State.RUNNING
        self._fleet.apply(member, Renew(member.worker.generation, "rolled_over") if running else Restart())

    # What is stored --------------------------------------------------------------------------------------------------

    def _observe(self) -> RolloverStatus:
        wanted = [member for member in self._fleet if is_wanted(member.bot)]
        finished = self._plan.phase in FINISHED
        reason = self._plan.reason
        if self._plan.phase is Phase.DONE and self._left_by_another:
            reason = "The supervisor ended meanwhile; the next one has finished it."
        return replace(
            self._status,
            phase=self._plan.phase,
            wave=self._plan.wave,
            old_server=self._status.old_server if self._old is None else self._old,
            new_server=self._status.new_server if self._left_by_another else self._new,
            total=len(wanted),
            moved=sum(self._is_new(member) for member in wanted),
            moving=len(self._plan.moving),
            reason=reason,
            details=self._plan.details,
            finished_at=datetime.now(UTC) if finished else None,
        )

    def _save_now_and_then(self) -> None:
        """Store what has changed, a new phase at once. A database that is away does not hold the bots up."""
        now, status = self._fleet.now(), self._observe()
        due = self._saved is None or self._saved.phase is not status.phase or now - self._saved_at >= SAVE_EVERY_S
        if due and status != self._saved and status.phase not in FINISHED:
            self._saved_at = now
            self._saved = self._status = status
            self._put(status)

    def _put(self, status: RolloverStatus) -> None:
        self._writer.put(status, key=status.rollover_id)
