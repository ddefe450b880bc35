"""One bot of the fleet with its worker, as the shell sees it and as the database remembers it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from flotilla.domain.bots import Bot, BotStatus, Desired, Transition
from flotilla.domain.config import BotConfig
from flotilla.domain.config_record import NO_OUTCOME, ConfigOutcome
from flotilla.domain.policy import Policy, backoff_delay_s
from flotilla.domain.reasons import Verdict, reason
from flotilla.domain.sessions import Cause
from flotilla.domain.uptime import expected_after
from flotilla.domain.vitals import NO_VITALS, Vitals
from flotilla.domain.worker import State, Worker
from flotilla.ports import FleetRow
from supervisor.pace import Pace
from supervisor.processes import WorkerProcess

REMEMBERED_WAITS = 5
"""How often a bot that waits for what is outside it is taken to have tried: many such bots must not come together."""


@dataclass(slots=True)
class Member:
    """One bot of the fleet with its worker, as the shell sees it.

    policy: the fleet's with what the bot has of its own. vitals: what its probes found last.
    epoch: the `desired_epoch` the current incarnation answers. secret: known only for generations spawned by this
    supervisor; of adopted ones only the hash is. expected: as the last transition has it. unheard_since: of an adopted
    worker that has not made itself known yet, when the supervisor before was last seen. fork_server: number of the one
    that made the process, or the last process. asked: somebody wants a bot to run that was stopped. start_cause: why
    the current incarnation was started, of `sessions.Cause`. config, config_version: that the worker runs with, or the
    last one did; None: not known. outcome: what came of its configs. met_generation: of the last new worker that proved
    itself to this supervisor. clock: the seconds that its worker's times are in. pace: what it may send now.
    flood_told_at: monotonic second.
    """

    bot: Bot
    policy: Policy = field(default_factory=Policy)
    worker: Worker = field(default_factory=Worker)
    epoch: int = 0
    secret_hash: bytes | None = None
    process: WorkerProcess | None = None
    memory_bytes: int | None = None
    latency_ms: float | None = None
    shared_bytes: int = 0
    since: datetime | None = None
    heartbeat_at: datetime | None = None
    expected: bool = False
    unheard_since: datetime | None = None
    asked: bool = False
    start_cause: str = Cause.CRASH
    vitals: Vitals = NO_VITALS
    fork_server: int | None = None
    config: BotConfig | None = None
    config_version: int | None = None
    outcome: ConfigOutcome = NO_OUTCOME
    met_generation: int = 0
    clock: Callable[[], float] = time.monotonic
    pace: Pace = field(default_factory=Pace)
    flood_told_at: float = float("-inf")

    def status(self) -> BotStatus:
        """Return what is observed now, as it is stored."""
        worker, process = self.worker, self.process
        wall_clock_ahead_s = time.time() - self.clock()
        return BotStatus(
            bot_id=self.bot.id,
            state=worker.state,
            ready=worker.ready,
            reason=worker.reason,
            generation=worker.generation,
            epoch=self.epoch,
            failures=worker.failures,
            pid=worker.pid,
            process_started_at=process.started_at if process else None,
            secret_hash=self.secret_hash,
            memory_bytes=self.memory_bytes,
            latency_ms=self.latency_ms,
            since=self.since,
            heartbeat_at=self.heartbeat_at,
            vitals=self.vitals,
            fork_server=self.fork_server,
            failed_at=tuple(at + wall_clock_ahead_s for at in worker.failed_at),
            config_version=self.config_version,
        )

    def loss(self, before: Worker, now: datetime) -> Transition | None:
        """Of a worker adopted and never heard of, say that it may have been lost since the last supervisor was seen."""
        if self.unheard_since is None:
            return None
        at = min(now, max(self.unheard_since, self.since or self.unheard_since))
        wanted = is_wanted(self.bot)
        return Transition(
            self.bot.id, at, before.state, ready=False, generation=before.generation, reason=None, expected=wanted
        )


def remembered(row: FleetRow, policy: Policy, clock: Callable[[], float], jitter: float) -> Member:
    """Return a bot as the supervisor before left it.

    policy: the bot's own, not the fleet's. clock: as `Member` has it. jitter: uniform draw in [0, 1).
    """
    status, now = row.status, clock()
    waited = status.state is State.BACKOFF and reason(status.reason or "").verdict is Verdict.WAIT
    waits = REMEMBERED_WAITS if waited else 0
    deadlines = {
        State.STARTING: now + policy.startup_timeout_s,
        State.RUNNING: now + policy.liveness_timeout_s,
        State.STOPPING: now + policy.stop_grace_s,
        State.BACKOFF: now + backoff_delay_s(max(1, status.failures, waits), policy, jitter),
    }
    worker = Worker(
        state=status.state,
        generation=status.generation,
        pid=status.pid,
        deadline=deadlines.get(status.state),
        failures=status.failures,
        ready_at=now if status.ready else None,
        reason=status.reason,
        restart=status.state is State.STOPPING and row.bot.desired is Desired.RUNNING,
        failed_at=_failures_of_before(status.failed_at, now, policy.intensity_period_s),
        waits=waits,
    )
    # A bot that was never observed answers whatever is wanted of it now.
    epoch = status.epoch if status.generation else row.bot.desired_epoch
    return Member(
        row.bot,
        policy,
        worker,
        epoch,
        status.secret_hash,
        memory_bytes=status.memory_bytes,
        latency_ms=status.latency_ms,
        since=status.since,
        heartbeat_at=status.heartbeat_at,
        vitals=structs.replace(status.vitals, set_aside=None),  # by the supervisor before, if it was
        fork_server=status.fork_server,
        config=_config_of(row),
        config_version=status.config_version,
        outcome=row.outcome,
        # Between a start or restart that was asked for and READY nothing in the status tells; it is a moment.
        expected=expected_after(
            before=status.state is State.RUNNING,
            wanted=is_wanted(row.bot),
            ready=status.ready,
            reason=status.reason,
        ),
        clock=clock,
    )


def _config_of(row: FleetRow) -> BotConfig | None:
    """Return the config that the last worker ran with; None if that has been forgotten."""
    known = {row.outcome.good_version: row.outcome.good, row.bot.config_version: row.bot.config}
    return known.get(row.status.config_version)


def _failures_of_before(failed_at: tuple[float, ...], now: float, period_s: float) -> tuple[float, ...]:
    """Return wall-clock times by the clock that says `now`; one that the future has, for a set clock, was just now."""
    ages_s = (max(0.0, time.time() - at) for at in failed_at)
    return tuple(now - age_s for age_s in ages_s if age_s < period_s)


def is_wanted(bot: Bot) -> bool:
    """Return whether an operator wants the bot to run."""
    return bot.desired is Desired.RUNNING and bot.deleted_at is None
