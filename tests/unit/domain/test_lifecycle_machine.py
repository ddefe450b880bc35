"""Any sequence of commands, faults and clock jumps keeps the promises of the lifecycle."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flotilla.domain.lifecycle import step
from flotilla.domain.policy import Policy
from flotilla.domain.reasons import REASONS
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

POLICY = Policy(max_failures=3)
OWNERS = {State.STARTING, State.RUNNING, State.STOPPING}
JITTER = st.floats(0, 1, exclude_max=True)


class Lifecycle(RuleBasedStateMachine):
    """A model host: orders to spawn wait in `ordered` until the fork server acts; processes live in `alive`."""

    def __init__(self) -> None:
        super().__init__()
        self.worker = Worker()
        self.now = 0.0
        self.next_pid = 100
        self.ordered: list[int] = []
        self.alive: dict[int, int] = {}  # pid -> generation
        self.told_to_end: set[int] = set()
        self.wanted = False
        self.stop_asked_at: float | None = None

    def happen(self, event: Event) -> None:
        self.worker, effects = step(self.worker, event, self.now, POLICY)
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Spawn(generation):
                assert not self.live_current(), "a second process of one bot"
                self.ordered.append(generation)
            case Terminate(pid):
                self.told_to_end.add(pid)
            case Kill(pid):
                self.told_to_end.add(pid)
            case DumpStacks(pid):
                assert pid in self.current_pids()
                assert self.worker.state is State.STOPPING
                assert self.worker.deadline == self.now + POLICY.dump_grace_s, "a dump that delays the kill"

    def current_pids(self) -> set[int]:
        return {pid for pid, generation in self.alive.items() if generation == self.worker.generation}

    def live_current(self) -> set[int]:
        return {pid for pid in self.alive if pid not in self.told_to_end}

    @initialize()
    def begin(self) -> None:
        self.start()

    @rule()
    def start(self) -> None:
        self.wanted, self.stop_asked_at = True, None
        self.happen(Start())

    @rule()
    def stop(self) -> None:
        if self.wanted:
            self.stop_asked_at = self.now
        self.wanted = False
        self.happen(Stop())

    @rule()
    def restart(self) -> None:
        self.wanted, self.stop_asked_at = True, None
        self.happen(Restart())

    @precondition(lambda self: self.ordered)
    @rule()
    def fork_server_answers(self) -> None:
        generation, pid = self.ordered.pop(0), self.next_pid
        self.next_pid += 1
        self.alive[pid] = generation
        self.happen(Spawned(generation, pid))

    @precondition(lambda self: self.ordered)
    @rule(jitter=JITTER)
    def fork_server_fails(self, jitter: float) -> None:
        self.happen(SpawnFailed(self.ordered.pop(0), jitter))

    @precondition(lambda self: self.ordered)
    @rule(jitter=JITTER, wait_s=st.floats(0.1, 86_400))
    def session_starts_are_saved(self, jitter: float, wait_s: float) -> None:
        self.happen(SpawnFailed(self.ordered.pop(0), jitter, "session_budget", wait_s))

    @precondition(lambda self: self.current_pids())
    @rule(jitter=JITTER)
    def fork_server_dies_after_its_worker_said_hello(self, jitter: float) -> None:
        self.happen(SpawnFailed(self.worker.generation, jitter))

    @rule(jitter=JITTER)
    def host_is_mended(self, jitter: float) -> None:
        self.happen(HostMended(jitter))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=st.sampled_from([0, 1, -6, -9, None]), jitter=JITTER)
    def process_ends(self, data: st.DataObject, code: int | None, jitter: float) -> None:
        pid = data.draw(st.sampled_from(sorted(self.alive)))
        self.happen(Exited(self.alive.pop(pid), code, jitter))

    @precondition(lambda self: self.worker.generation and self.current_pids())
    @rule(event=st.sampled_from([BecameReady, LostReady, Heartbeat, MemoryExceeded]), late=st.booleans())
    def worker_speaks(self, event: type, late: bool) -> None:
        self.happen(event(self.worker.generation - 1 if late else self.worker.generation))

    @precondition(lambda self: self.current_pids())
    @rule(code=st.sampled_from(sorted(REASONS)))
    def worker_fails(self, code: str) -> None:
        self.told_to_end |= self.current_pids()  # it says that it is about to exit
        self.happen(Failed(self.worker.generation, code))

    @precondition(lambda self: self.worker.generation)
    @rule(code=st.sampled_from(sorted(REASONS)))
    def supervisor_renews(self, code: str) -> None:
        self.happen(Renew(self.worker.generation, code))

    @precondition(lambda self: self.current_pids())
    @rule()
    def worker_hands_over(self) -> None:
        """Asked for or not: it is sealed, and ends by itself."""
        self.told_to_end |= self.current_pids()
        self.happen(HandedOver(self.worker.generation))

    @rule(seconds=st.floats(0, 400), jitter=JITTER)
    def time_passes(self, seconds: float, jitter: float) -> None:
        self.now += seconds
        self.happen(DeadlinePassed(jitter))

    @rule()
    def host_obeys(self) -> None:
        """Everything that was told to end ends, everything whose time has come happens; a stop is then over."""
        for _ in range(3):
            if self.worker.state is State.STOPPING and self.live_current() and self.worker.deadline is not None:
                self.now = max(self.now, self.worker.deadline)  # it hangs and writes its stacks; the kill follows
                self.happen(DeadlinePassed(0.5))
            for generation in self.ordered[:]:
                self.ordered.remove(generation)
                self.alive[self.next_pid] = generation
                self.next_pid += 1
                self.happen(Spawned(generation, self.next_pid - 1))
            for pid in [pid for pid in self.alive if pid in self.told_to_end]:
                self.happen(Exited(self.alive.pop(pid), 0, 0.5))
        if not self.wanted:
            assert self.worker.state is State.STOPPED, "a stop that all obeyed did not end in STOPPED"

    @invariant()
    def at_most_one_process_that_was_not_told_to_end(self) -> None:
        assert len(self.live_current()) <= 1

    @invariant()
    def resting_states_own_no_process(self) -> None:
        if self.worker.state not in OWNERS:
            assert self.worker.pid is None
            assert not self.live_current()

    @invariant()
    def waiting_states_have_a_deadline_and_resting_ones_none(self) -> None:
        assert (self.worker.deadline is None) == (self.worker.state in {State.STOPPED, State.FATAL})

    @invariant()
    def only_a_running_worker_is_ready(self) -> None:
        assert not self.worker.ready or self.worker.state is State.RUNNING

    @invariant()
    def what_is_not_wanted_never_starts(self) -> None:
        if not self.wanted:
            assert self.worker.state in {State.STOPPED, State.STOPPING}
            assert not self.worker.restart

    @invariant()
    def a_fatal_worker_says_why(self) -> None:
        if self.worker.state is State.FATAL:
            assert self.worker.reason in REASONS

    @invariant()
    def a_stop_is_over_within_two_grace_periods(self) -> None:
        """The first deadline after a stop kills; a killed process is gone when its host obeys."""
        if self.stop_asked_at is not None and self.worker.state is State.STOPPING and self.worker.deadline is not None:
            assert self.worker.deadline <= self.now + max(POLICY.stop_grace_s, POLICY.kill_retry_s)


Lifecycle.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLifecycle = Lifecycle.TestCase
