"""What the lifecycle is about: a worker with its state, the events that happen to it, and the orders that follow.

Commands are imperative (`Start`), events are past tense (`Spawned`), effects are orders to the shell (`Spawn`). An
event that carries a generation speaks of that incarnation alone. Times are monotonic seconds.
"""

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """supervisord's process states; `docs/supervision.md` says what an operator does in each."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    FATAL = "FATAL"


@dataclass(frozen=True, slots=True)
class Worker:
    """What the supervisor knows about one bot's process.

    generation: number of the current or last incarnation; grows by one with every spawn.
    pid: the live process of this generation, None while there is none or it is not known yet.
    deadline: monotonic second at which the state must have ended; None only in STOPPED and FATAL.
    failures: consecutive runs that failed; a heartbeat of a worker READY for `stable_after_s` sets it to 0.
    ready_at: monotonic second since which the worker is READY, None when it is not.
    reason: code of `reasons.REASONS` for the state or for the last failure, None when all is well.
    restart: in STOPPING, start again after the exit.
    failed_at: when its last failed runs ended, oldest first; those older than the policy's period are forgotten.
    waits: tries in a row that came to nothing for reasons outside the bot; they lengthen its waits and count nowhere.
    """

    state: State = State.STOPPED
    generation: int = 0
    pid: int | None = None
    deadline: float | None = None
    failures: int = 0
    ready_at: float | None = None
    reason: str | None = None
    restart: bool = False
    failed_at: tuple[float, ...] = ()
    waits: int = 0

    @property
    def ready(self) -> bool:
        """True while the worker's gateway session is up."""
        return self.ready_at is not None


# Commands and events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Be running. In BACKOFF and FATAL: try at once, past failures forgotten."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Be stopped."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Be running as a new incarnation."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The fork server made the process."""

    generation: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """There is no process: the fork server could not make it. jitter: uniform draw in [0, 1).

    wait_s: it was not even asked to, for `code` (of `reasons.REASONS`), and should be in so many seconds.
    """

    generation: int
    jitter: float
    code: str = "spawn_failed"
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The worker's session is READY or RESUMED."""

    generation: int


@dataclass(frozen=True, slots=True)
class LostReady:
    """The worker's gateway connection is gone; it reconnects by itself."""

    generation: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker's event loop turned."""

    generation: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker says why it is about to exit; `code` is one of `reasons.REASONS`."""

    generation: int
    code: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Be renewed for a reason of the supervisor's own (`code`, with the verdict RESTART): a warm restart."""

    generation: int
    code: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The worker hands no further event to its bot and ends by itself soon: the next incarnation need not wait."""

    generation: int


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """A sample above the memory limit."""

    generation: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone. exit_code: as `subprocess` has it, None if nobody saw it. jitter: uniform in [0, 1)."""

    generation: int
    exit_code: int | None
    jitter: float


@dataclass(frozen=True, slots=True)
class HostMended:
    """This host can start workers again. jitter: uniform draw in [0, 1)."""

    jitter: float


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """`now` may have reached the worker's deadline. jitter: uniform draw in [0, 1)."""

    jitter: float


Event = (
    Start
    | Stop
    | Restart
    | Spawned
    | SpawnFailed
    | BecameReady
    | LostReady
    | Heartbeat
    | Failed
    | Renew
    | HandedOver
    | MemoryExceeded
    | Exited
    | HostMended
    | DeadlinePassed
)


# Effects -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a worker of this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask for the end: close the session, flush, exit; with `warm`, leave the session to the next incarnation."""

    pid: int
    warm: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL to the process group."""

    pid: int


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Have the process write the stacks of all its threads to its log; `Kill` follows at the deadline."""

    pid: int


Effect = Spawn | Terminate | Kill | DumpStacks
