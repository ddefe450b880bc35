"""All workers of this host: applies events through `step`, carries out its effects, and records what changed.

Everything runs on one event loop; `apply` is never re-entered for the same worker, so there is one writer per fact.
"""

import asyncio
import hashlib
import math
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flotilla.domain.bots import Bot, BotStatus, Desired, Transition
from flotilla.domain.diagnosis import Exit
from flotilla.domain.lifecycle import IllegalTransition, step
from flotilla.domain.policy import Policy
from flotilla.domain.reasons import reason_of_exit
from flotilla.domain.sessions import cause_of
from flotilla.domain.uptime import expected_after
from flotilla.domain.vitals import ended
from flotilla.domain.worker import (
    BecameReady,
    DeadlinePassed,
    DumpStacks,
    Effect,
    Event,
    Exited,
    Heartbeat,
    HostMended,
    Kill,
    LostReady,
    Renew,
    Restart,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
    Terminate,
    Worker,
)
from flotilla.ids import new_id
from flotilla.ports import FleetRow
from supervisor.adoption import Adoption
from supervisor.containment import Containment
from supervisor.journal import Journal
from supervisor.member import Member, is_wanted, remembered
from supervisor.predecessors import Predecessors
from supervisor.processes import WorkerProcess
from supervisor.reconcile import may_be_dropped, order
from supervisor.shell import Shell

log = structlog.get_logger()
_FOUND_LOST = Exited | LostReady | DeadlinePassed
_OWNS_PROCESS = {State.STARTING, State.RUNNING, State.STOPPING}


class Fleet:
    """Bots by id. policy: the fleet's; a bot may have some of it of its own.

    clock: seconds that leave out what this program slept through, so that nobody is late for it meanwhile.
    """

    def __init__(
        self,
        policy: Policy,
        journal: Journal,
        shell: Shell,
        *,
        spawn_concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        containment: Containment | None = None,
    ) -> None:
        self._policy = policy
        self._journal = journal
        self._shell = shell
        self.now = clock
        self._containment = containment or Containment(clock=clock)
        self._adoption = Adoption(self._containment)
        self._spawn_concurrency = spawn_concurrency
        self._members: dict[str, Member] = {}
        self._predecessors = Predecessors()
        self._starting = 0
        self._waiting: dict[str, None] = {}  # bots that should start, first come first served
        self._to_restart: dict[str, int] = {}  # generations that go on until their restart can be written down
        self._random = random.Random()  # noqa: S311 - jitter
        self._soonest = -math.inf  # no deadline comes before it
        self.processes = 0
        """Grows whenever a process comes or goes."""

    def __iter__(self) -> Iterator[Member]:
        """Iterate over the members as they are now."""
        return iter(list(self._members.values()))

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._members)

    def get(self, bot_id: str) -> Member | None:
        """Return a member, or None if there is no such bot."""
        return self._members.get(bot_id)

    # Events ----------------------------------------------------------------------------------------------------------

    def apply(self, member: Member, event: Event) -> None:
        """Let `event` happen to a worker: step, carry out the effects, record the change.

        A worker that serves is restarted only while the database takes what follows: the next one gets no token before.
        """
        if isinstance(event, Renew | Restart) and member.worker.ready:
            self._apply_when_stored(member, event)
        else:
            self._apply(member, event)

    def _apply_when_stored(self, member: Member, event: Renew | Restart) -> None:
        bot_id, generation = member.bot.id, member.worker.generation
        if self._to_restart.get(bot_id) == generation:
            return

        def restart() -> None:
            if self._to_restart.pop(bot_id, None) != generation or self._members.get(bot_id) is not member:
                return
            if member.worker.generation == generation and member.worker.state is State.RUNNING:
                self._containment.attempt(member.bot, "restart", self._apply, member, event)

        self._to_restart[bot_id] = generation
        self._journal.put(member.status())  # there must be something whose storing shows that more can be stored
        self._shell.when_stored(restart)

    def _apply(self, member: Member, event: Event) -> None:
        before = member.worker
        try:
            after, effects = step(before, event, self.now(), member.policy)
        except IllegalTransition as fault:
            log.error("worker.illegal_transition", bot=member.bot.name, what=repr(event), error=str(fault))  # noqa: TRY400
            return
        member.worker = after
        if after.generation != before.generation and member.process is not None:
            self._let_go(member, before)
        if isinstance(event, Stop):
            self._predecessors.end(member.bot.id)
        if after != before:
            self._note(member, before, event)
        if after.deadline is not None and after.deadline < self._soonest:
            self._soonest = after.deadline
        if isinstance(event, Heartbeat | BecameReady):
            member.unheard_since = None
        for effect in effects:
            self._carry_out(member, effect, before)

    def forked(self, bot_id: str, generation: int, pid: int, started_at: int | None) -> None:
        """A process is there: hold it, watch it, and tell the worker's lifecycle."""
        member = self._members.get(bot_id)
        if member is None or (member.worker.generation == generation and member.process is not None):
            return
        process = WorkerProcess.find(pid, started_at)
        if member.worker.generation == generation:
            member.process = process
            self.processes += 1
        self.apply(member, Spawned(generation, pid))
        if process is None:
            self.exited(bot_id, generation, None)
        elif member.process is process:
            process.watch(lambda: self._shell.on_exit(member, generation, process))
        else:
            process.kill()
            process.release()

    @property
    def starting(self) -> int:
        """How many bots are STARTING."""
        return self._starting

    def host_mended(self) -> None:
        """Workers can be started again: bots that waited for that need not wait longer."""
        for member in self:
            if member.worker.state is State.BACKOFF:
                self.apply(member, HostMended(self._random.random()))

    def fork_failed(self, bot_id: str, generation: int, why: str) -> None:
        """The host could not make the process."""
        member = self._members.get(bot_id)
        if member is not None:
            log.error("worker.spawn_failed", bot=member.bot.name, generation=generation, error=why)
            self.apply(member, SpawnFailed(generation, self._random.random()))

    def exited(self, bot_id: str, generation: int, exit_code: int | None) -> None:
        """The process of a generation is gone."""
        # Also of a bot that is removed: who waits for all processes to end waits for this one.
        had_handed_over, why = self._predecessors.gone(bot_id, generation)
        member = self._members.get(bot_id)
        if member is None:
            return
        worker = member.worker
        if had_handed_over:
            self._tell_gone(member, generation, exit_code, why)
        elif worker.generation == generation:
            if worker.state in _OWNS_PROCESS:
                why = worker.reason if worker.state is State.STOPPING else reason_of_exit(exit_code)
                self._tell_gone(member, generation, exit_code, why)
            self._without_process(member)
        self.apply(member, Exited(generation, exit_code, self._random.random()))

    def _tell_gone(self, member: Member, generation: int, exit_code: int | None, why: str | None) -> None:
        now = datetime.now(UTC)
        end = Exit(new_id(now), member.bot.id, now, generation, exit_code, why)
        self._containment.attempt(member.bot, "record of its exit", self._shell.on_gone, member, end)

    def _let_go(self, member: Member, before: Worker) -> None:
        """The next incarnation begins while the process of this one, which has handed over, still lives."""
        if member.process is not None:
            why = before.reason if before.state is State.STOPPING else member.worker.reason
            self._predecessors.add(member.bot.id, before.generation, member.process, why, self.now())
        self._without_process(member)

    def _without_process(self, member: Member) -> None:
        self.processes += 1
        member.process = None
        member.memory_bytes = member.latency_ms = member.heartbeat_at = None
        member.shared_bytes = 0
        member.vitals = ended(member.vitals)

    def tick(self) -> None:
        """Let the deadlines that have come happen."""
        now = self.now()
        self._predecessors.tick(now)
        if now < self._soonest:
            return
        self._soonest = math.inf
        for member in self:
            deadline = member.worker.deadline
            if deadline is not None and now >= deadline:
                self._containment.retry(member.bot, "deadline", self._pass_deadline, member)
                deadline = member.worker.deadline
            if deadline is not None and deadline < self._soonest:
                self._soonest = deadline

    def _pass_deadline(self, member: Member) -> None:
        worker = member.worker
        if member.process is not None and not member.process.held:
            return  # it has ended, and what it left is being ended
        if worker.pid is not None and member.process is None:
            # Its exit could not be dealt with when it was seen.
            self.exited(member.bot.id, worker.generation, None)
        else:
            self.apply(member, DeadlinePassed(self._random.random()))

    # Desired state ---------------------------------------------------------------------------------------------------

    def reconcile(self, bots: Iterable[Bot]) -> list[str]:
        """Bring every worker nearer to what is wanted; return the ids of removed bots that may be dropped now."""
        droppable: list[str] = []
        wanted = {bot.id: bot for bot in bots}
        self._adopt_rest()
        for gone in self._members.keys() - wanted.keys():
            self._containment.retry(self._members[gone].bot, "removal", self._forget, gone)
        for bot in wanted.values():
            # Of one that could not be adopted a process may live, so no other is started.
            if not self._adoption.awaits(bot.id):
                self._containment.retry(bot, "reconciliation", self._reconcile, bot, droppable)
        self.admit()
        return droppable

    def _reconcile(self, bot: Bot, droppable: list[str]) -> None:
        member = self._meet(bot)
        command = order(bot, member.worker, member.epoch)
        if isinstance(command, Start):
            self._waiting[bot.id] = None
        elif command is not None:
            self.apply(member, command)
        if may_be_dropped(bot, member.worker):
            droppable.append(bot.id)

    def _meet(self, bot: Bot) -> Member:
        """Return the member of a bot as it is wanted now; a policy that has changed holds from now on."""
        member = self._members.get(bot.id)
        if member is not None and member.bot is bot:
            return member
        if member is None:
            policy = bot.overrides.on(self._policy)
            member = self._members[bot.id] = Member(bot, policy, epoch=bot.desired_epoch, clock=self.now)
        elif bot.overrides != member.bot.overrides:
            member.policy = bot.overrides.on(self._policy)
            if member.process is not None:
                self._shell.on_policy(member)
        member.asked |= is_wanted(bot) and not is_wanted(member.bot)
        was = (member.bot.config_version, member.bot.guilds_version)
        member.bot = bot
        if was != (bot.config_version, bot.guilds_version):
            self._shell.on_config(member)
        return member

    def admit(self) -> None:
        """Start bots that should run, as many at once as may be STARTING: a herd makes every one of them late."""
        while self._waiting and self._starting < self._spawn_concurrency:
            bot_id = next(iter(self._waiting))
            del self._waiting[bot_id]
            member = self._members.get(bot_id)
            # What was wanted when it was put in line may not be wanted any more.
            if member is not None and order(member.bot, member.worker, member.epoch) == Start():
                self._containment.attempt(member.bot, "start", self.apply, member, Start())

    def stop_all(self) -> None:
        """Stop every worker; what is wanted stays, so that the next supervisor starts them again."""
        for member in self:
            member.bot = _unwanted(member.bot)
            if member.worker.state is not State.STOPPED:
                self._containment.attempt(member.bot, "stop", self.apply, member, Stop())

    def kill_all(self) -> None:
        """End every process that is left, now."""
        self._predecessors.kill_all()
        for member in self:
            if member.process is not None:
                self._containment.attempt(member.bot, "stop", member.process.kill)

    def pids(self) -> frozenset[int]:
        """Return the pids of all live workers, held so that nobody else has them. May be called in any thread."""
        processes = [member.process for member in self]
        return frozenset(p.pid for p in processes if p is not None and p.held) | self._predecessors.pids()

    def incarnations(self) -> list[tuple[str, int]]:
        """Return bot and generation of all workers that may live. May be called in any thread."""
        known = [(m.bot.id, m.worker.generation) for m in self if m.worker.state in _OWNS_PROCESS]
        return (
            self._predecessors.incarnations()
            + known
            + [(row.bot.id, row.status.generation) for row in self._adoption.rows()]
        )

    def idle(self) -> bool:
        """Return whether no process is left."""
        return not self._predecessors and all(member.worker.state not in _OWNS_PROCESS for member in self)

    def release(self) -> None:
        """Let go of every process; they live on."""
        self._predecessors.release()
        for member in self:
            if member.process is not None:
                member.process.release()

    # Adoption --------------------------------------------------------------------------------------------------------

    def adopt(self, rows: Iterable[FleetRow], seen_at: datetime | None = None) -> int:
        """Take over what the supervisor before left behind; return how many live processes were adopted.

        seen_at: when the supervisor before was last seen. A worker that turns out not to be up any more is recorded as
        not READY since then: nobody can say when it ended, and uptime must not be flattered.

        A worker that is alive goes on as it is and has the liveness timeout to make itself known. One that died
        meanwhile is treated as an exit that nobody saw.
        """
        self._soonest = -math.inf
        self._adoption.of(rows, seen_at)
        return self._adopt_rest()

    def _adopt_rest(self) -> int:
        """Adopt those that were not yet; return how many of them live."""
        adopted = 0
        for found in self._adoption.attempt(self._found):
            member, process, status = found
            self._starting += member.worker.state is State.STARTING
            if process is not None:
                self.processes += 1
                adopted += 1
            elif member.worker.state in _OWNS_PROCESS or member.worker.pid is not None:
                self._lost(member, status)
        return adopted

    def _lost(self, member: Member, status: BotStatus) -> None:
        taken: list[bool] = []
        self._containment.attempt(member.bot, "remains", lambda: taken.append(self._shell.on_lost(member, status)))
        if not any(taken):
            generation = member.worker.generation
            self._containment.attempt(member.bot, "exit", self.exited, member.bot.id, generation, None)

    def _found(self, row: FleetRow, seen_at: datetime | None) -> tuple[Member, WorkerProcess | None, BotStatus]:
        """Return a bot of the supervisor before and its live process, if it has one. Changes nothing if it raises."""
        member = remembered(row, row.bot.overrides.on(self._policy), self.now, self._random.random())
        member.unheard_since = seen_at
        pid, generation = row.status.pid, row.status.generation
        started_at = row.status.process_started_at
        # Without a start time it may be any process; if it is ours, its Hello is refused as of an old generation.
        process = None if pid is None or started_at is None else WorkerProcess.find(pid, started_at)
        if process is not None:
            process.watch(lambda: self._shell.on_exit(member, generation, process))
        member.process = process
        self._members[row.bot.id] = member
        return member, process, row.status

    def awaits(self, bot_id: str) -> bool:
        """Return whether a bot of the supervisor before could not be adopted yet."""
        return self._adoption.awaits(bot_id)

    def stored(self, bot_id: str) -> BotStatus | None:
        """Return what the supervisor before stored of a bot that could not be adopted yet."""
        row = self._adoption.row(bot_id)
        return None if row is None else row.status

    # Effects ---------------------------------------------------------------------------------------------------------

    def _carry_out(self, member: Member, effect: Effect, before: Worker) -> None:
        match effect:
            case Spawn(generation):
                asked = member.asked or member.bot.desired_epoch > member.epoch
                member.asked, member.start_cause = False, cause_of(before, asked=asked)
                withheld = self._shell.withhold(member)
                if withheld is not None:
                    member.epoch = member.bot.desired_epoch
                    not_spawned = SpawnFailed(generation, self._random.random(), *withheld)
                    asyncio.get_running_loop().call_soon(self.apply, member, not_spawned)
                    return
                secret = secrets.token_bytes(32)
                member.secret_hash = hashlib.sha256(secret).digest()
                member.epoch = member.bot.desired_epoch
                self._journal.put(member.status())
                self._shell.spawn(member, secret)
            case DumpStacks(pid):
                if member.process is not None and member.process.pid == pid:
                    self._shell.dump_stacks(member)
            case Terminate(pid=pid) | Kill(pid=pid):
                process = member.process
                if process is None or process.pid != pid:
                    return  # an orphan; `forked` kills it
                warm = isinstance(effect, Terminate) and effect.warm
                name = "hand_over" if warm else type(effect).__name__.lower()
                log.info("worker.signal", bot=member.bot.name, pid=pid, signal=name)
                {"kill": process.kill, "terminate": process.terminate, "hand_over": process.hand_over}[name]()

    def _note(self, member: Member, before: Worker, event: Event) -> None:
        after = member.worker
        self._starting += (after.state is State.STARTING) - (before.state is State.STARTING)
        if before.state is State.STARTING and after.state is not State.STARTING and self._waiting:
            asyncio.get_running_loop().call_soon(self.admit)
        wanted, expected = is_wanted(member.bot), member.expected
        member.expected = expected_after(before=expected, wanted=wanted, ready=after.ready, reason=after.reason)
        moved = (before.state, before.ready, before.generation) != (after.state, after.ready, after.generation)
        if not moved and member.expected == expected:
            if after.pid != before.pid:
                self._journal.put(member.status())
            return
        now = datetime.now(UTC)
        if before.ready and not after.ready and isinstance(event, _FOUND_LOST):
            loss = member.loss(before, now)
            if loss is not None:
                self._journal.put(member.status(), loss)
        member.since = now
        if after.state is State.FATAL and before.state is not State.FATAL:
            self._shell.on_fatal(member)
        self._journal.put(
            member.status(),
            Transition(member.bot.id, now, after.state, after.ready, after.generation, after.reason, member.expected),
        )
        log.info(
            "worker.moved",
            bot=member.bot.name,
            before=before.state.value,
            after=after.state.value,
            ready=after.ready,
            generation=after.generation,
            pid=after.pid,
            reason=after.reason,
            event_name=type(event).__name__,
        )

    def _forget(self, bot_id: str) -> None:
        member = self._members[bot_id]
        if member.worker.state is State.STOPPED:
            del self._members[bot_id]
            self._journal.forget(bot_id)
            return
        member.bot = _unwanted(member.bot)
        self.apply(member, Stop())


def _unwanted(bot: Bot) -> Bot:
    return replace(bot, desired=Desired.STOPPED)
