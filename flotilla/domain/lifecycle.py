"""The life of a worker: `step(worker, event, now, policy) -> (worker, effects)`.

Total over every (state, event) pair, without a clock, I/O or randomness. A pair is decided in one of three ways:
it moves the worker, it is ignored (the same worker comes back, no effects), or `IllegalTransition` is raised because
no correct supervisor can produce it. States are supervisord's, which operators know. Ready is a fact about a worker,
not a state. Times are monotonic seconds.
"""

from collections.abc import Callable
from dataclasses import replace

from flotilla.domain.policy import Policy, RestartPolicy, backoff_delay_s
from flotilla.domain.reasons import Verdict, reason, reason_of_exit
from flotilla.domain.sessions import BUDGET_REASONS
from flotilla.domain.worker import (
    BecameReady,
    DeadlinePassed,
    DumpStacks,
    Effect,
    Event,
    Exited,
    Failed,
    HandedOver,
    Heartbeat,
    HostMended,
    Kill,
    LostReady,
    MemoryExceeded,
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

Outcome = tuple[Worker, tuple[Effect, ...]]

MENDED_WITHIN_S = 5.0
"""Over so long a time bots come back once their host can start workers again."""


class IllegalTransition(Exception):  # noqa: N818 - the name says what happened better than an Error suffix
    """An event that no correct supervisor produces in this state; nothing has been changed."""


def step(worker: Worker, event: Event, now: float, policy: Policy) -> Outcome:
    """Return the worker after `event` at monotonic second `now`, and the orders for the shell.

    An event that carries a generation other than the worker's changes nothing; a late `Spawned` is answered with
    `Kill`, since two processes of one bot must never live.
    Raises IllegalTransition for an event that cannot happen in this state.
    """
    generation = getattr(event, "generation", None)
    if generation is not None and generation != worker.generation:
        if generation > worker.generation:
            msg = f"{type(event).__name__} of generation {generation}, but only {worker.generation} were spawned"
            raise IllegalTransition(msg)
        return worker, (Kill(event.pid),) if isinstance(event, Spawned) else ()
    return _TABLE[type(event)](worker, event, now, policy)


# Moves ---------------------------------------------------------------------------------------------------------------


def _spawn(worker: Worker, now: float, policy: Policy, *, code: str | None) -> Outcome:
    generation = worker.generation + 1
    starting = Worker(
        State.STARTING,
        generation,
        deadline=now + policy.startup_timeout_s,
        failures=worker.failures,
        reason=code,
        failed_at=worker.failed_at,
        waits=worker.waits,
    )
    return starting, (Spawn(generation),)


def _rest(worker: Worker, state: State, code: str | None) -> Outcome:
    return Worker(state, worker.generation, failures=worker.failures, reason=code), ()


def _stop(worker: Worker, now: float, policy: Policy, *, code: str | None = None) -> Outcome:
    """Ask politely, with a `code` to start again after it; the request follows when `pid` is known."""
    stopping = replace(
        worker,
        state=State.STOPPING,
        deadline=now + policy.stop_grace_s,
        restart=code is not None,
        ready_at=None,
        reason=code,
    )
    return stopping, () if worker.pid is None else (Terminate(worker.pid, warm=code is not None),)


def _kill(worker: Worker, now: float, policy: Policy, *, code: str) -> Outcome:
    """A failed probe: no grace, the worker has shown that it does not listen."""
    killing = replace(
        worker,
        state=State.STOPPING,
        deadline=now + policy.kill_retry_s,
        restart=True,
        ready_at=None,
        reason=code,
    )
    return killing, () if worker.pid is None else (Kill(worker.pid),)


def _dump_and_kill(worker: Worker, now: float, policy: Policy, *, code: str) -> Outcome:
    """A worker that hangs: its stacks tell where, so they are asked for first. `Kill` follows at the deadline."""
    killing, effects = _kill(worker, now, policy, code=code)
    if worker.pid is None:
        return killing, effects
    return replace(killing, deadline=now + policy.dump_grace_s), (DumpStacks(worker.pid),)


def _after_run(worker: Worker, code: str, jitter: float, now: float, policy: Policy) -> Outcome:
    """Decide what follows a run that ended with `code`."""
    row = reason(code)
    if row.verdict is Verdict.RESTART:
        # Asked for by a person it is a new beginning; for a reason of ours it must not hide that a bot keeps failing.
        asked = code == "restart_requested"
        return _spawn(replace(worker, failures=0, failed_at=()) if asked else worker, now, policy, code=None)
    if row.verdict is Verdict.GIVE_UP:
        return _rest(worker, State.FATAL, code)
    if row.ran and not _starts_again(policy.restart, code):
        return _rest(worker, State.FATAL, "restart_policy")
    if code in BUDGET_REASONS:
        # Nothing failed. How long it takes is the ledger's to say, which the shell asks before it spawns again. A
        # worker that says so again and again although the ledger has some left is asked less and less often.
        worker = replace(worker, waits=worker.waits + 1)
        wait_s = max(policy.backoff_base_s, backoff_delay_s(worker.waits, policy, jitter))
        return _wait(worker, code, wait_s, now, policy)
    if row.verdict is Verdict.WAIT:
        # Not the bot's fault, so nothing that could ever give it up is counted.
        worker = replace(worker, waits=worker.waits + 1)
        return _wait(worker, code, backoff_delay_s(worker.waits, policy, jitter, row.cap_s), now, policy)
    since = now - policy.intensity_period_s
    failures, failed_at = worker.failures + 1, (*(at for at in worker.failed_at if at > since), now)
    worker = replace(worker, failures=failures, failed_at=failed_at, waits=0)
    if failures > policy.max_failures or len(failed_at) > policy.intensity:
        return _rest(worker, State.FATAL, "crash_loop")
    return _wait(worker, code, backoff_delay_s(failures, policy, jitter), now, policy)


def _wait(worker: Worker, code: str, delay_s: float, now: float, policy: Policy) -> Outcome:
    if delay_s == 0:
        return _spawn(worker, now, policy, code=code)
    waiting = Worker(
        State.BACKOFF,
        worker.generation,
        deadline=now + delay_s,
        failures=worker.failures,
        reason=code,
        failed_at=worker.failed_at,
        waits=worker.waits,
    )
    return waiting, ()


def _starts_again(policy: RestartPolicy, code: str) -> bool:
    return policy is RestartPolicy.ALWAYS or (policy is RestartPolicy.ON_FAILURE and code != "exited")


# One function per event; each decides every state. -------------------------------------------------------------------


def _on_start(worker: Worker, _event: Start, now: float, policy: Policy) -> Outcome:
    if worker.state in {State.STOPPED, State.FATAL, State.BACKOFF}:
        return _spawn(replace(worker, failures=0, failed_at=(), waits=0), now, policy, code=None)
    if worker.state is State.STOPPING and not worker.restart:
        return replace(worker, restart=True, reason="restart_requested"), ()
    return worker, ()


def _on_stop(worker: Worker, _event: Stop, now: float, policy: Policy) -> Outcome:
    if worker.state in {State.BACKOFF, State.FATAL}:
        return Worker(State.STOPPED, worker.generation), ()
    if worker.state in {State.STARTING, State.RUNNING}:
        return _stop(worker, now, policy)
    if worker.state is State.STOPPING and worker.restart:
        # Asked to hand over, it leaves its session to a next incarnation, which is not wanted any more.
        stopping = replace(worker, restart=False, reason=None)
        if worker.pid is None or not _is_handing_over(worker):
            return stopping, ()
        return stopping, (Terminate(worker.pid),)
    return worker, ()


def _on_restart(worker: Worker, _event: Restart, now: float, policy: Policy) -> Outcome:
    if worker.state in {State.STARTING, State.RUNNING}:
        return _stop(worker, now, policy, code="restart_requested")
    if worker.state is State.STOPPING:
        return replace(worker, restart=True, reason="restart_requested"), ()
    return _on_start(worker, Start(), now, policy)


def _on_spawned(worker: Worker, event: Spawned, _now: float, _policy: Policy) -> Outcome:
    if worker.pid is not None:
        if worker.pid != event.pid:
            msg = f"generation {event.generation} spawned as {event.pid} and as {worker.pid}"
            raise IllegalTransition(msg)
        return worker, ()
    if worker.state is State.STARTING:
        return replace(worker, pid=event.pid), ()
    if worker.state is State.STOPPING:
        return replace(worker, pid=event.pid), (Terminate(event.pid),)
    # Its spawn was given up (startup deadline) before the fork server answered.
    return worker, (Kill(event.pid),)


def _on_spawn_failed(worker: Worker, event: SpawnFailed, now: float, policy: Policy) -> Outcome:
    if worker.pid is not None:
        # The fork server died before it could answer, but the worker itself has said Hello: it lives.
        return worker, ()
    if worker.state is State.STARTING and event.wait_s is not None:
        # Nothing failed, so nothing is counted, and the wait is not the backoff's.
        return replace(worker, state=State.BACKOFF, deadline=now + event.wait_s, reason=event.code), ()
    if worker.state is State.STARTING:
        return _after_run(worker, event.code, event.jitter, now, policy)
    if worker.state is State.STOPPING:
        return _after_stop(worker, event.jitter, now, policy)
    return worker, ()


def _on_ready(worker: Worker, _event: BecameReady, now: float, policy: Policy) -> Outcome:
    if worker.state is State.STARTING:
        deadline = now + policy.liveness_timeout_s
        return replace(worker, state=State.RUNNING, deadline=deadline, ready_at=now, reason=None), ()
    if worker.state is State.RUNNING and worker.ready_at is None:
        return replace(worker, ready_at=now, reason=None), ()
    return worker, ()


def _on_lost_ready(worker: Worker, _event: LostReady, _now: float, _policy: Policy) -> Outcome:
    if worker.state is State.RUNNING and worker.ready_at is not None:
        return replace(worker, ready_at=None), ()
    return worker, ()


def _on_heartbeat(worker: Worker, _event: Heartbeat, now: float, policy: Policy) -> Outcome:
    if worker.state is not State.RUNNING:
        return worker, ()
    stable = worker.ready_at is not None and now - worker.ready_at >= policy.stable_after_s
    failures, waits = (0, 0) if stable else (worker.failures, worker.waits)
    return replace(worker, deadline=now + policy.liveness_timeout_s, failures=failures, waits=waits), ()


def _on_failed(worker: Worker, event: Failed, now: float, policy: Policy) -> Outcome:
    """The exit follows; should it not, the deadline kills."""
    if worker.state in {State.STARTING, State.RUNNING}:
        deadline = now + policy.stop_grace_s
        failing = replace(
            worker, state=State.STOPPING, deadline=deadline, restart=True, ready_at=None, reason=event.code
        )
        return failing, ()
    known_better = reason(event.code).verdict is Verdict.RESTART and not _is_handing_over(worker)
    if worker.state is State.STOPPING and worker.restart and known_better:
        # Why it is being killed has been understood: what follows is decided by that.
        return replace(worker, reason=event.code), ()
    return worker, ()


def _on_renew(worker: Worker, event: Renew, now: float, policy: Policy) -> Outcome:
    """Only a worker that is well is renewed: one that is starting is new, one that is stopping will be."""
    if worker.state is State.RUNNING and reason(event.code).verdict is Verdict.RESTART:
        return _stop(worker, now, policy, code=event.code)
    return worker, ()


def _on_handed_over(worker: Worker, _event: HandedOver, now: float, policy: Policy) -> Outcome:
    """The old process belongs to an old generation from now on, so its exit changes nothing."""
    if worker.state in {State.STARTING, State.RUNNING}:
        # Asked by a supervisor that died before it could note that, or by nobody. Nobody serves the bot any more, so
        # the next one need not wait; but whoever does it again and again has failed, and is not left beside that one.
        after, effects = _after_run(worker, "unasked_handover", 0.0, now, policy)
        if after.state is State.STARTING:
            return after, effects
        return _kill(worker, now, policy, code="unasked_handover")
    if worker.state is not State.STOPPING or worker.pid is None:
        return worker, ()
    if not worker.restart:
        return worker, (Terminate(worker.pid),)
    if _is_handing_over(worker):
        return _after_stop(worker, 0.0, now, policy)
    # It is being killed: a failure, which its exit tells.
    return worker, ()


def _is_handing_over(worker: Worker) -> bool:
    return worker.reason is not None and reason(worker.reason).verdict is Verdict.RESTART


def _on_memory_exceeded(worker: Worker, _event: MemoryExceeded, now: float, policy: Policy) -> Outcome:
    if worker.state is State.STOPPING and worker.pid is not None:
        # No grace for one that grows on while it stops. The soft limit came too late for it, so it has failed.
        too_late = worker.reason == "memory_soft_limit"
        ending = replace(worker, reason="memory_limit") if too_late else worker
        return replace(ending, deadline=now + policy.kill_retry_s), (Kill(worker.pid),)
    if worker.state in {State.STARTING, State.RUNNING}:
        return _kill(worker, now, policy, code="memory_limit")
    return worker, ()


def _after_stop(worker: Worker, jitter: float, now: float, policy: Policy) -> Outcome:
    if not worker.restart:
        return Worker(State.STOPPED, worker.generation), ()
    return _after_run(worker, worker.reason or "crashed", jitter, now, policy)


def _on_exited(worker: Worker, event: Exited, now: float, policy: Policy) -> Outcome:
    if worker.state in {State.STARTING, State.RUNNING}:
        return _after_run(worker, reason_of_exit(event.exit_code), event.jitter, now, policy)
    if worker.state is State.STOPPING:
        return _after_stop(worker, event.jitter, now, policy)
    # STOPPED, BACKOFF, FATAL own no process: the end of one that was killed as an orphan.
    return worker, ()


def _on_host_mended(worker: Worker, event: HostMended, now: float, _policy: Policy) -> Outcome:
    """Those that wait for their host need not wait any longer, but do not come back together."""
    if worker.state is not State.BACKOFF or worker.reason != "spawn_failed" or worker.deadline is None:
        return worker, ()
    return replace(worker, deadline=min(worker.deadline, now + event.jitter * MENDED_WITHIN_S)), ()


def _on_deadline(worker: Worker, event: DeadlinePassed, now: float, policy: Policy) -> Outcome:
    if worker.deadline is None or now < worker.deadline:
        return worker, ()
    if worker.state is State.BACKOFF:
        return _spawn(worker, now, policy, code=worker.reason)
    if worker.pid is None:
        # The fork server never answered. A late `Spawned` is of an old generation by then, or is killed on sight.
        if worker.state is State.STOPPING:
            return _after_stop(worker, event.jitter, now, policy)
        return _after_run(worker, "spawn_failed", event.jitter, now, policy)
    if worker.state is State.STOPPING:
        return replace(worker, deadline=now + policy.kill_retry_s), (Kill(worker.pid),)
    code = "startup_timeout" if worker.state is State.STARTING else "unresponsive"
    return _dump_and_kill(worker, now, policy, code=code)


_TABLE: dict[type, Callable[..., Outcome]] = {
    Start: _on_start,
    Stop: _on_stop,
    Restart: _on_restart,
    Spawned: _on_spawned,
    SpawnFailed: _on_spawn_failed,
    BecameReady: _on_ready,
    LostReady: _on_lost_ready,
    Heartbeat: _on_heartbeat,
    Failed: _on_failed,
    Renew: _on_renew,
    HandedOver: _on_handed_over,
    MemoryExceeded: _on_memory_exceeded,
    Exited: _on_exited,
    HostMended: _on_host_mended,
    DeadlinePassed: _on_deadline,
}
