"""Every (state, event) pair that an operator can meet, one sentence each."""

import itertools
from dataclasses import replace

import pytest

from flotilla.domain.lifecycle import MENDED_WITHIN_S, IllegalTransition, step
from flotilla.domain.policy import Policy, RestartPolicy
from flotilla.domain.reasons import REASONS
from flotilla.domain.worker import (
    BecameReady,
    DeadlinePassed,
    DumpStacks,
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

POLICY = Policy()
NOW = 1000.0


def worker_in(state: State, **facts: object) -> Worker:
    """Return a plausible worker of generation 3 in `state`."""
    owns = state in {State.STARTING, State.RUNNING, State.STOPPING}
    waits = owns or state is State.BACKOFF
    base = Worker(
        state,
        generation=3,
        pid=42 if owns else None,
        deadline=NOW + 5 if waits else None,
        ready_at=NOW - 10 if state is State.RUNNING else None,
    )
    return replace(base, **facts)  # type: ignore[arg-type]


EVENTS: tuple[Event, ...] = (
    Start(),
    Stop(),
    Restart(),
    Spawned(3, 42),
    SpawnFailed(3, 0.5),
    BecameReady(3),
    LostReady(3),
    Heartbeat(3),
    Failed(3, "crashed"),
    Renew(3, "deaf"),
    HandedOver(3),
    MemoryExceeded(3),
    Exited(3, 1, 0.5),
    HostMended(0.5),
    DeadlinePassed(0.5),
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)), ids=str)
def test_every_pair_of_state_and_event_is_decided(state: State, event: Event) -> None:
    worker = worker_in(state)
    after, effects = step(worker, event, NOW, POLICY)
    assert isinstance(after, Worker)
    assert isinstance(effects, tuple)


def test_start_of_a_stopped_worker_spawns_the_next_generation() -> None:
    after, effects = step(worker_in(State.STOPPED), Start(), NOW, POLICY)
    assert (after.state, after.generation, after.deadline) == (State.STARTING, 4, NOW + POLICY.startup_timeout_s)
    assert effects == (Spawn(4),)


def test_start_of_a_fatal_worker_forgets_its_failures() -> None:
    after, effects = step(worker_in(State.FATAL, failures=11, reason="crash_loop"), Start(), NOW, POLICY)
    assert (after.state, after.failures, after.reason) == (State.STARTING, 0, None)
    assert effects == (Spawn(4),)


def test_exit_of_old_generation_leaves_new_worker_running() -> None:
    worker = worker_in(State.RUNNING)
    assert step(worker, Exited(2, -9, 0.5), NOW, POLICY) == (worker, ())


def test_late_process_of_an_old_generation_is_killed() -> None:
    worker = worker_in(State.RUNNING)
    assert step(worker, Spawned(2, 7), NOW, POLICY) == (worker, (Kill(7),))


def test_process_that_appears_after_its_spawn_was_given_up_is_killed() -> None:
    waiting = worker_in(State.BACKOFF)
    assert step(waiting, Spawned(3, 7), NOW, POLICY) == (waiting, (Kill(7),))


def test_event_of_a_generation_that_was_never_spawned_is_illegal() -> None:
    with pytest.raises(IllegalTransition, match="only 3 were spawned"):
        step(worker_in(State.RUNNING), Heartbeat(4), NOW, POLICY)


def test_second_process_of_one_generation_is_illegal() -> None:
    with pytest.raises(IllegalTransition, match="as 43 and as 42"):
        step(worker_in(State.STARTING), Spawned(3, 43), NOW, POLICY)


def test_fork_server_that_dies_before_it_answers_leaves_the_worker_that_said_hello() -> None:
    """The supervisor once broke on this: the worker was known by its Hello, then its spawn was reported as failed."""
    for state in (State.STARTING, State.RUNNING, State.STOPPING):
        worker = worker_in(state)
        assert step(worker, SpawnFailed(3, 0.5), NOW, POLICY) == (worker, ())


def test_spawn_that_is_withheld_waits_as_long_as_it_says_and_counts_nothing() -> None:
    starting = worker_in(State.STARTING, pid=None, failures=2, failed_at=(1.0, 2.0))
    withheld = SpawnFailed(3, 0.5, "session_budget", 20_000.0)
    after, effects = step(starting, withheld, NOW, POLICY)
    assert (after.state, after.reason, after.deadline) == (State.BACKOFF, "session_budget", NOW + 20_000)
    assert (after.failures, after.failed_at, effects) == (2, (1.0, 2.0), ())
    assert step(after, Start(), NOW, POLICY)[1] == (Spawn(4),)
    stopping = worker_in(State.STOPPING, pid=None)
    assert step(stopping, withheld, NOW, POLICY)[0].state is State.STOPPED


def test_worker_that_was_refused_a_session_counts_no_failure() -> None:
    failing, _ = step(worker_in(State.STARTING, failures=9), Failed(3, "session_budget"), NOW, POLICY)
    after, effects = step(failing, Exited(3, 1, 0.99), NOW, POLICY)
    assert (after.state, after.reason, after.failures, after.pid) == (State.BACKOFF, "session_budget", 9, None)
    assert (after.deadline, effects) == (NOW + POLICY.backoff_base_s, ())


def test_first_crash_after_a_stable_run_starts_again_at_once() -> None:
    after, effects = step(worker_in(State.RUNNING), Exited(3, -9, 0.99), NOW, POLICY)
    assert (after.state, after.failures, after.reason) == (State.STARTING, 1, "killed")
    assert effects == (Spawn(4),)


def test_second_crash_in_a_row_waits_with_jitter() -> None:
    after, effects = step(worker_in(State.RUNNING, failures=1), Exited(3, 1, 0.5), NOW, POLICY)
    assert (after.state, after.failures, after.reason) == (State.BACKOFF, 2, "crashed")
    assert after.deadline == NOW + 0.5 * POLICY.backoff_base_s
    assert effects == ()


def test_crash_loop_ends_in_fatal() -> None:
    worker = worker_in(State.RUNNING, failures=POLICY.max_failures)
    after, effects = step(worker, Exited(3, 1, 0.5), NOW, POLICY)
    assert (after.state, after.reason, after.deadline, effects) == (State.FATAL, "crash_loop", None, ())


@pytest.mark.parametrize("code", ["discord_unreachable", "spawn_failed", "request_budget"])
def test_what_lies_outside_the_bot_waits_longer_and_longer_and_never_leads_to_fatal(code: str) -> None:
    worker = worker_in(State.STARTING, failures=POLICY.max_failures, failed_at=(NOW,) * POLICY.intensity)
    for tries in range(1, 500):
        failing, _ = step(worker, Failed(worker.generation, code), NOW, POLICY)
        worker, _ = step(failing, Exited(worker.generation, 1, 0.5), NOW, POLICY)
        assert worker.state is (State.STARTING if tries == 1 else State.BACKOFF)
        assert (worker.failures, len(worker.failed_at)) == (POLICY.max_failures, POLICY.intensity)
        worker = replace(worker, state=State.STARTING, pid=42)
    assert (worker.deadline or 0) - NOW == 0.5 * min(POLICY.backoff_cap_s, REASONS[code].cap_s)


def test_failures_of_the_host_do_not_hasten_the_end_of_a_bot_that_crashes_later() -> None:
    worker = worker_in(State.STARTING, pid=None)
    for _ in range(POLICY.max_failures + 5):
        worker, _ = step(worker, SpawnFailed(worker.generation, 0.5), NOW, POLICY)
        worker = replace(worker, state=State.STARTING)
    crashed, _ = step(replace(worker, pid=42), Exited(worker.generation, 1, 0.5), NOW, POLICY)
    assert (crashed.state, crashed.failures) == (State.STARTING, 1)


def test_bots_that_wait_for_their_host_come_back_soon_after_it_is_mended_and_no_others_do() -> None:
    waiting = worker_in(State.BACKOFF, reason="spawn_failed", deadline=NOW + 30)
    assert step(waiting, HostMended(0.5), NOW, POLICY)[0].deadline == NOW + 0.5 * MENDED_WITHIN_S
    soon = replace(waiting, deadline=NOW + 0.1)
    assert step(soon, HostMended(0.5), NOW, POLICY) == (soon, ())
    other = replace(waiting, reason="crashed")
    assert step(other, HostMended(0.5), NOW, POLICY) == (other, ())


def test_refused_token_goes_straight_to_fatal() -> None:
    failing, effects = step(worker_in(State.STARTING), Failed(3, "token_refused"), NOW, POLICY)
    assert (failing.state, failing.restart, effects) == (State.STOPPING, True, ())
    after, effects = step(failing, Exited(3, 1, 0.0), NOW, POLICY)
    assert (after.state, after.reason, effects) == (State.FATAL, "token_refused", ())


def test_stop_of_a_running_worker_asks_before_it_kills() -> None:
    stopping, effects = step(worker_in(State.RUNNING), Stop(), NOW, POLICY)
    assert effects == (Terminate(42),)
    assert stopping.deadline == NOW + POLICY.stop_grace_s
    killed, effects = step(stopping, DeadlinePassed(0.5), NOW + POLICY.stop_grace_s, POLICY)
    assert effects == (Kill(42),)
    gone, effects = step(killed, Exited(3, -9, 0.5), NOW + 6, POLICY)
    assert (gone.state, gone.pid, gone.deadline, gone.reason, effects) == (State.STOPPED, None, None, None, ())


def test_stop_before_the_process_is_known_reaches_it_when_it_appears() -> None:
    stopping, effects = step(worker_in(State.STARTING, pid=None), Stop(), NOW, POLICY)
    assert effects == ()
    after, effects = step(stopping, Spawned(3, 42), NOW, POLICY)
    assert (after.pid, effects) == (42, (Terminate(42),))


def test_restart_stops_and_then_spawns_without_counting_a_failure() -> None:
    stopping, effects = step(worker_in(State.RUNNING, failures=4), Restart(), NOW, POLICY)
    assert effects == (Terminate(42, warm=True),), "the session is left to the next incarnation"
    after, effects = step(stopping, Exited(3, 0, 0.5), NOW + 1, POLICY)
    assert (after.state, after.generation, after.failures, effects) == (State.STARTING, 4, 0, (Spawn(4),))


def test_stop_during_a_restart_wins() -> None:
    stopping, _ = step(worker_in(State.RUNNING), Restart(), NOW, POLICY)
    stopping, _ = step(stopping, Stop(), NOW, POLICY)
    after, effects = step(stopping, Exited(3, 0, 0.5), NOW, POLICY)
    assert (after.state, effects) == (State.STOPPED, ())


def test_start_during_a_stop_starts_again_after_the_exit() -> None:
    stopping, _ = step(worker_in(State.RUNNING), Stop(), NOW, POLICY)
    stopping, _ = step(stopping, Start(), NOW, POLICY)
    after, effects = step(stopping, Exited(3, 0, 0.5), NOW, POLICY)
    assert (after.state, effects) == (State.STARTING, (Spawn(4),))


def test_memory_above_the_limit_kills_and_counts() -> None:
    killing, effects = step(worker_in(State.RUNNING), MemoryExceeded(3), NOW, POLICY)
    assert (killing.state, effects) == (State.STOPPING, (Kill(42),))
    after, _ = step(killing, Exited(3, -9, 0.5), NOW, POLICY)
    assert (after.state, after.reason, after.failures) == (State.STARTING, "memory_limit", 1)


def test_worker_that_passes_its_limit_while_it_is_renewed_for_its_memory_is_killed_and_counts() -> None:
    renewing, _ = step(worker_in(State.RUNNING), Renew(3, "memory_soft_limit"), NOW, POLICY)
    killing, effects = step(renewing, MemoryExceeded(3), NOW + 1, POLICY)
    assert (killing.reason, killing.restart, effects) == ("memory_limit", True, (Kill(42),))
    assert killing.deadline == NOW + 1 + POLICY.kill_retry_s
    after, _ = step(killing, Exited(3, -9, 0.5), NOW + 1, POLICY)
    assert (after.state, after.reason, after.failures) == (State.STARTING, "memory_limit", 1)


@pytest.mark.parametrize("command", [Stop(), Restart()])
def test_worker_that_passes_its_limit_while_it_stops_gets_no_grace_and_did_not_fail(command: Stop | Restart) -> None:
    stopping, _ = step(worker_in(State.RUNNING), command, NOW, POLICY)
    killing, effects = step(stopping, MemoryExceeded(3), NOW, POLICY)
    assert effects == (Kill(42),)
    after, _ = step(killing, Exited(3, -9, 0.5), NOW, POLICY)
    assert (after.state, after.failures) == (State.STOPPED if command == Stop() else State.STARTING, 0)


@pytest.mark.parametrize(("state", "code"), [(State.RUNNING, "unresponsive"), (State.STARTING, "startup_timeout")])
def test_worker_that_hangs_writes_down_where_and_is_killed_then(state: State, code: str) -> None:
    dumping, effects = step(worker_in(state, deadline=NOW), DeadlinePassed(0.5), NOW, POLICY)
    assert (dumping.state, dumping.reason, effects) == (State.STOPPING, code, (DumpStacks(42),))
    assert dumping.deadline == NOW + POLICY.dump_grace_s
    assert step(dumping, Heartbeat(3), NOW + 0.1, POLICY) == (dumping, ())
    assert step(dumping, DeadlinePassed(0.5), NOW + 0.1, POLICY) == (dumping, ())
    killed, effects = step(dumping, DeadlinePassed(0.5), NOW + POLICY.dump_grace_s, POLICY)
    assert (killed.state, killed.reason, effects) == (State.STOPPING, code, (Kill(42),))
    after, effects = step(killed, Exited(3, -9, 0.5), NOW + 1, POLICY)
    assert (after.state, after.reason, after.failures, effects) == (State.STARTING, code, 1, (Spawn(4),))


def test_stop_while_stacks_are_written_ends_in_stopped() -> None:
    dumping, _ = step(worker_in(State.RUNNING, deadline=NOW), DeadlinePassed(0.5), NOW, POLICY)
    dumping, effects = step(dumping, Stop(), NOW, POLICY)
    assert effects == ()
    killed, effects = step(dumping, DeadlinePassed(0.5), NOW + POLICY.dump_grace_s, POLICY)
    assert effects == (Kill(42),)
    assert step(killed, Exited(3, -9, 0.5), NOW + 1, POLICY)[0].state is State.STOPPED


def test_blocked_bot_has_two_seconds_left_to_become_ready_again_within_twelve() -> None:
    """Heartbeats come every second at most, ticks every 50 ms, and an exit code is waited for up to half a second."""
    assert POLICY.liveness_timeout_s + 0.05 + POLICY.dump_grace_s + 0.05 + 0.5 <= 12 - 2


def test_spawn_that_was_never_answered_is_tried_again() -> None:
    after, _ = step(worker_in(State.STARTING, pid=None, deadline=NOW), DeadlinePassed(0.5), NOW, POLICY)
    assert (after.state, after.generation, after.reason) == (State.STARTING, 4, "spawn_failed")


def test_deadline_event_before_its_time_changes_nothing() -> None:
    worker = worker_in(State.BACKOFF)
    assert step(worker, DeadlinePassed(0.5), NOW, POLICY) == (worker, ())


def test_heartbeat_moves_the_liveness_deadline() -> None:
    after, _ = step(worker_in(State.RUNNING), Heartbeat(3), NOW + 3, POLICY)
    assert after.deadline == NOW + 3 + POLICY.liveness_timeout_s


def test_heartbeat_of_a_stable_worker_forgets_its_failures() -> None:
    worker = worker_in(State.RUNNING, failures=7, ready_at=NOW - POLICY.stable_after_s)
    after, _ = step(worker, Heartbeat(3), NOW, POLICY)
    assert after.failures == 0


def test_lost_gateway_connection_leaves_the_worker_running() -> None:
    after, effects = step(worker_in(State.RUNNING), LostReady(3), NOW, POLICY)
    assert (after.state, after.ready, effects) == (State.RUNNING, False, ())
    again, _ = step(after, BecameReady(3), NOW + 1, POLICY)
    assert again.ready_at == NOW + 1


def test_stop_while_a_session_is_handed_over_asks_for_its_end() -> None:
    handing, _ = step(worker_in(State.RUNNING), Restart(), NOW, POLICY)
    stopping, effects = step(handing, Stop(), NOW, POLICY)
    assert (stopping.restart, effects) == (False, (Terminate(42),))


def test_worker_that_is_well_is_renewed_with_its_session_kept() -> None:
    worker = worker_in(State.RUNNING, failures=2)
    after, effects = step(worker, Renew(3, "memory_soft_limit"), NOW, POLICY)
    assert (after.state, after.restart, after.reason) == (State.STOPPING, True, "memory_soft_limit")
    assert effects == (Terminate(42, warm=True),)
    again, effects = step(after, Exited(3, 0, 0.5), NOW, POLICY)
    assert (again.state, again.generation, again.failures, effects) == (State.STARTING, 4, 2, (Spawn(4),))


@pytest.mark.parametrize("state", [State.STOPPED, State.STARTING, State.BACKOFF, State.STOPPING, State.FATAL])
def test_only_a_running_worker_is_renewed(state: State) -> None:
    worker = worker_in(state)
    assert step(worker, Renew(3, "deaf"), NOW, POLICY) == (worker, ())


def test_renewal_for_a_reason_that_is_a_failure_is_ignored() -> None:
    worker = worker_in(State.RUNNING)
    assert step(worker, Renew(3, "crashed"), NOW, POLICY) == (worker, ())


def test_stop_of_a_worker_that_is_being_renewed_ends_its_session() -> None:
    renewing = worker_in(State.STOPPING, restart=True, reason="memory_soft_limit")
    after, effects = step(renewing, Stop(), NOW, POLICY)
    assert (after.restart, after.reason, effects) == (False, None, (Terminate(42),))


@pytest.mark.parametrize(
    ("policy", "exit_code", "state"),
    [
        (RestartPolicy.ALWAYS, 0, State.STARTING),
        (RestartPolicy.ALWAYS, 1, State.STARTING),
        (RestartPolicy.ON_FAILURE, 0, State.FATAL),
        (RestartPolicy.ON_FAILURE, 1, State.STARTING),
        (RestartPolicy.ON_FAILURE, -9, State.STARTING),
        (RestartPolicy.ON_FAILURE, None, State.STARTING),
        (RestartPolicy.NEVER, 0, State.FATAL),
        (RestartPolicy.NEVER, 1, State.FATAL),
    ],
)
def test_restart_policy_decides_after_an_end_that_nobody_asked_for(
    policy: RestartPolicy, exit_code: int | None, state: State
) -> None:
    after, _ = step(worker_in(State.RUNNING), Exited(3, exit_code, 0.5), NOW, Policy(restart=policy))
    assert (after.state, after.reason) == (state, "restart_policy" if state is State.FATAL else after.reason)


def test_bot_that_is_never_restarted_is_restarted_when_asked_and_forked_again_when_that_failed() -> None:
    never = Policy(restart=RestartPolicy.NEVER)
    stopping, _ = step(worker_in(State.RUNNING), Restart(), NOW, never)
    assert step(stopping, Exited(3, 0, 0.5), NOW, never)[0].state is State.STARTING
    unborn = worker_in(State.STARTING, pid=None)
    assert step(unborn, SpawnFailed(3, 0.5), NOW, never)[0].state is State.STARTING


def test_too_many_failures_in_a_period_end_in_fatal_though_each_run_was_stable() -> None:
    policy = Policy(intensity=3, intensity_period_s=100.0)
    worker, now = worker_in(State.RUNNING), NOW
    for _ in range(3):
        worker, _ = step(worker, Exited(worker.generation, 1, 0.0), now, policy)
        assert worker.state is State.STARTING
        worker = replace(worker, state=State.RUNNING, pid=42, failures=0)  # it became READY and was stable
        now += 20
    worker, _ = step(worker, Exited(worker.generation, 1, 0.0), now, policy)
    assert (worker.state, worker.reason) == (State.FATAL, "crash_loop")


def test_failures_outside_the_period_do_not_count() -> None:
    policy = Policy(intensity=3, intensity_period_s=100.0)
    worker = worker_in(State.RUNNING, failed_at=(NOW - 300, NOW - 200, NOW - 101))
    after, _ = step(worker, Exited(3, 1, 0.0), NOW, policy)
    assert (after.state, after.failed_at) == (State.STARTING, (NOW,))


def test_restart_that_was_asked_for_forgets_failures_and_one_of_ours_does_not() -> None:
    failed = worker_in(State.STOPPING, restart=True, failures=3, failed_at=(NOW - 1,))
    asked, _ = step(replace(failed, reason="restart_requested"), Exited(3, 0, 0.5), NOW, POLICY)
    ours, _ = step(replace(failed, reason="deaf"), Exited(3, 0, 0.5), NOW, POLICY)
    assert (asked.failures, asked.failed_at) == (0, ())
    assert (ours.failures, ours.failed_at) == (3, (NOW - 1,))


# Handing over --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["restart_requested", "memory_soft_limit", "deaf"])
def test_worker_that_has_handed_over_is_followed_at_once(reason: str) -> None:
    stopping = worker_in(State.STOPPING, restart=True, reason=reason)
    after, effects = step(stopping, HandedOver(3), NOW, POLICY)
    assert (after.state, after.generation, after.pid) == (State.STARTING, 4, None)
    assert effects == (Spawn(4),)
    assert step(after, Exited(3, 0, 0.5), NOW + 1, POLICY) == (after, ()), "its exit is of an old generation"
    assert step(after, HandedOver(3), NOW + 1, POLICY) == (after, ()), "it says so again to another supervisor"


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
def test_worker_that_another_supervisor_asked_to_hand_over_is_followed_at_once(state: State) -> None:
    after, effects = step(worker_in(state), HandedOver(3), NOW, POLICY)
    assert (after.state, after.generation, after.reason) == (State.STARTING, 4, "unasked_handover")
    assert effects == (Spawn(4),)


def test_each_hand_over_that_nobody_asked_for_is_a_failed_run_and_many_of_them_are_a_crash_loop() -> None:
    worker, spawns = worker_in(State.RUNNING), 0
    for _ in range(100):
        pid = worker.pid
        worker, effects = step(worker, HandedOver(worker.generation), NOW, POLICY)
        if worker.state is State.STOPPING:  # not left beside its successor
            assert effects == (Kill(pid or 0),)
            worker, effects = step(worker, Exited(worker.generation, -9, 0.5), NOW, POLICY)
        if worker.state is State.FATAL:
            break
        if worker.state is State.BACKOFF:
            worker, effects = step(worker, DeadlinePassed(0.5), (worker.deadline or 0) + 1, POLICY)
        assert effects == (Spawn(worker.generation),)
        spawns += 1
        worker, _ = step(worker, Spawned(worker.generation, 100 + spawns), NOW, POLICY)
    assert (worker.state, worker.reason, spawns) == (State.FATAL, "crash_loop", POLICY.max_failures)


def test_worker_that_says_again_and_again_that_its_session_starts_are_spent_is_asked_less_and_less_often() -> None:
    worker, waited_s = worker_in(State.STARTING), []
    for _ in range(8):
        worker, _ = step(worker, Failed(worker.generation, "session_budget"), NOW, POLICY)
        worker, _ = step(worker, Exited(worker.generation, 1, 0.9), NOW, POLICY)
        waited_s.append((worker.deadline or 0) - NOW)
        worker, _ = step(worker, DeadlinePassed(0.5), NOW + 1000, POLICY)
    assert waited_s == sorted(waited_s)
    assert (waited_s[0], worker.failures) == (POLICY.backoff_base_s, 0)
    assert waited_s[-1] > 20 * waited_s[0]


def test_worker_that_has_handed_over_though_a_stop_was_asked_for_is_told_to_end() -> None:
    stopping = worker_in(State.STOPPING)
    assert step(stopping, HandedOver(3), NOW, POLICY) == (stopping, (Terminate(42),))


def test_worker_that_is_being_killed_is_not_followed_before_it_is_gone() -> None:
    killed = worker_in(State.STOPPING, restart=True, reason="memory_limit")
    assert step(killed, HandedOver(3), NOW, POLICY) == (killed, ())


@pytest.mark.parametrize("state", [State.STOPPED, State.BACKOFF, State.FATAL])
def test_hand_over_of_a_process_that_is_gone_changes_nothing(state: State) -> None:
    worker = worker_in(state)
    assert step(worker, HandedOver(3), NOW, POLICY) == (worker, ())


def test_run_that_its_config_is_to_blame_for_is_followed_at_once_and_not_counted() -> None:
    failing, effects = step(worker_in(State.STARTING, failures=2), Failed(3, "config_refused"), NOW, POLICY)
    assert (failing.state, failing.restart, effects) == (State.STOPPING, True, ())
    again, effects = step(failing, Exited(3, 1, 0.5), NOW, POLICY)
    assert (again.state, again.generation, again.failures, effects) == (State.STARTING, 4, 2, (Spawn(4),))


def test_worker_that_is_killed_may_turn_out_to_have_failed_by_its_config() -> None:
    killed, _ = step(
        worker_in(State.STOPPING, restart=True, reason="startup_timeout"), Failed(3, "config_refused"), NOW, POLICY
    )
    assert killed.reason == "config_refused"
    for reason, restart in (("restart_requested", True), (None, False)):
        stopping = worker_in(State.STOPPING, restart=restart, reason=reason)
        assert step(stopping, Failed(3, "config_refused"), NOW, POLICY) == (stopping, ())
    stopping = worker_in(State.STOPPING, restart=True, reason="startup_timeout")
    assert step(stopping, Failed(3, "crashed"), NOW, POLICY) == (stopping, ())
