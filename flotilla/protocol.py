"""What supervisor, fork server and workers say to each other: msgspec structs in length-prefixed frames.

Sans-I/O: the fork server reads with blocking calls, the others with asyncio, and both use `FrameDecoder`.
A frame is 4 bytes of length, big-endian, and that many bytes of MessagePack.
"""

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from flotilla.domain.bounds import (
    PLAIN,
    BatchNumber,
    Code,
    Count,
    Detail,
    Line,
    Milliseconds,
    Number,
    Seconds,
    Url,
    Version,
)
from flotilla.domain.command_logs import CommandLog
from flotilla.domain.config import BotConfig, GuildConfig
from flotilla.domain.happenings import Occurrence
from flotilla.domain.heap import HeapReport
from flotilla.domain.metrics import Counts, Named
from flotilla.domain.requests import Brake

VERSION = 2
"""Grows when a worker and a supervisor of different releases would misunderstand each other."""

EXIT_OUT_OF_MEMORY = 74
"""Exit code of a worker whose last error was a MemoryError: it had reached the bound that the kernel holds it to."""

EXIT_HOST_FAULT = 71
"""Exit code of a child that this host did not let become a worker (EX_OSERR of sysexits.h). No bot's code has run."""

SEALED_S = 30.0
"""How long a worker that has handed over stays for its successor at most."""

MAX_FRAME_BYTES = 1024 * 1024
MAX_QUESTION_BYTES = 64 * 1024
MAX_BINS = 128
"""Ten minutes are 61 bins of 10 s, and a process that reports twice in one names it once."""

_LENGTH = struct.Struct(">I")

Topic = Annotated[str, msgspec.Meta(max_length=50, pattern=PLAIN)]
"""What a worker asks about, such as `stock.search`; who answers it is in supervisor/supervisor.py."""

Delivery = Literal["ok", "quiet", "probing", "deaf", "unprobed"]
Rung = Literal["", "resume", "identify", "renew"]


class ProtocolError(Exception):
    """The peer sent what is not of this protocol; the connection is of no further use."""


class _Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Tagged with its class name; fields by position, so new ones go last and have defaults."""


# Worker to supervisor ------------------------------------------------------------------------------------------------


class Hello(_Message, frozen=True, tag=True):
    """First message on every connection of a worker; also how an adopted worker makes itself known.

    secret: proves that this is the generation the supervisor spawned. running: it has its token already.
    config_version, guilds_version: of the config that it runs, and of the newest change of a guild's that it knows;
    -1: none yet.
    """

    version: Number
    bot_id: Code
    generation: Number
    secret: Annotated[bytes, msgspec.Meta(max_length=64)]
    running: bool
    ready: bool
    config_version: Version = -1
    guilds_version: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)] = -1


class Fetch(_Message, frozen=True, tag=True):
    """The one message of a connection of its own: open for this worker what it may not open itself.

    It is answered with a byte and a descriptor (SCM_RIGHTS), or by the connection's end. shard, shards: of the session.
    """

    bot_id: Code
    generation: Number
    secret: Annotated[bytes, msgspec.Meta(max_length=64)]
    what: Literal["log", "session"]
    shard: Number = 0
    shards: Number = 1


class Ready(_Message, frozen=True, tag=True):
    """The gateway session is READY, or RESUMED if `resumed`: then no IDENTIFY was spent."""

    resumed: bool = False


class NotReady(_Message, frozen=True, tag=True):
    """The gateway connection is lost; the worker reconnects by itself."""


class Beat(_Message, frozen=True, tag=True):
    """The event loop turned. latency_ms: the gateway's last heartbeat round trip, None before the first.

    shared_bytes: what of the worker's RSS it shares with its siblings, as it measured last; None before that. Without
    root nobody but the worker itself may know.
    """

    latency_ms: Milliseconds | None
    shared_bytes: Count | None = None


class Failing(_Message, frozen=True, tag=True):
    """The worker is about to exit and says why. code: of `flotilla.domain.reasons`; detail: for the log, no secrets."""

    code: Code
    detail: Detail


class Without(_Message, frozen=True, tag=True):
    """The worker runs without something of its host's: its log, or a place for its session. Told on every connection.

    error: the name of the error number, such as `ENOSPC`.
    """

    what: Literal["log", "session"]
    error: Annotated[str, msgspec.Meta(max_length=32, pattern=PLAIN)]


class Sealed(_Message, frozen=True, tag=True):
    """The worker was asked to hand over and has done so: its bot gets no further event, and no request of it passes.

    It keeps what Discord sends for its successor, and ends by itself soon. Told on every connection.
    """


class InvalidRequests(_Message, frozen=True, tag=True):
    """HTTP answers that count against the host's address, as (bin, how many this worker had in it so far).

    Bins are those of `flotilla.domain.requests`; after each Welcome all of the window are told, so a lost message costs
    nothing and none is counted twice. most: the status and route that brought the most, such as
    `403 POST /channels/{channel}/messages`.
    """

    bins: Annotated[tuple[tuple[Number, Number], ...], msgspec.Meta(max_length=MAX_BINS)]
    most: Line = ""


class Heap(_Message, frozen=True, tag=True):
    """The answer to `TakeHeap` with the same number."""

    number: Number
    report: HeapReport


class AskIdentify(_Message, frozen=True, tag=True):
    """A shard is about to IDENTIFY and waits for `MayIdentify` or `NotYet` with this number.

    number: of the worker's attempts; one asked for twice is granted once. renewed: this process was READY before.
    """

    shard_id: Number
    number: Number
    renewed: bool


class IdentifiedAlone(_Message, frozen=True, tag=True):
    """A shard identified unasked, so many seconds ago: no supervisor answered."""

    shard_id: Number
    ago_s: Seconds


class GatewayAnswer(msgspec.Struct, frozen=True):
    """Discord's answer to `GET /gateway/bot`. reset_after_s: until `remaining` is `total` again."""

    url: Url
    shards: Number
    total: Number
    remaining: Number
    max_concurrency: Number
    reset_after_s: Seconds


class GatewaySeen(_Message, frozen=True, tag=True):
    """What Discord answered this worker; the next one of its application need not ask."""

    answer: GatewayAnswer


class Probed(_Message, frozen=True, tag=True):
    """What the worker's own probes found: every few seconds, and at once when `delivery` or `rung` change.

    delivery, quiet_s, responses, response_p95_ms: as `flotilla.domain.vitals.Vitals` has them; None: not known.
    rung: of a deaf session, what is tried now: `resume`, `identify`, or `renew`, which is the supervisor's to do.
    """

    delivery: Delivery | None
    rung: Rung
    quiet_s: Seconds
    responses: Number = 0
    response_p95_ms: Milliseconds | None = None


class CommandsRan(_Message, frozen=True, tag=True):
    """What users did, again and again until `CommandsStored` with this number comes back.

    number: of no other batch of this bot, whichever worker told it. lost: logs that found no room in the worker since
    the batch before.
    """

    number: BatchNumber
    logs: Annotated[tuple[CommandLog, ...], msgspec.Meta(max_length=200)]
    lost: Count = 0


class Configured(_Message, frozen=True, tag=True):
    """The answer to `Reconfigure` with this version. detail: a sentence, without secrets.

    outcome: `live`: it holds. `restart`: only the next process can have it. `failed`: the bot's code did not take it,
    and goes on with what it had.
    """

    version: Number
    outcome: Literal["live", "restart", "failed"]
    detail: Detail = ""


class Ask(_Message, frozen=True, tag=True):
    """A question of the bot's code, until `Answered` with this number comes. body: as the topic has it."""

    number: BatchNumber
    topic: Topic
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_QUESTION_BYTES)]


class Measured(_Message, frozen=True, tag=True):
    """All that the worker has counted since it began to, `age_s` ago. cache: how many of each kind it keeps now."""

    counts: Counts
    cache: Named = {}
    age_s: Seconds = 0.0


class Happened(_Message, frozen=True, tag=True):
    """What Discord did to the bot, again and again until `HappenedStored` with this number comes back.

    number, lost: as those of `CommandsRan`.
    """

    number: BatchNumber
    rows: Annotated[tuple[Occurrence, ...], msgspec.Meta(max_length=100)]
    lost: Count = 0


# Supervisor to worker ------------------------------------------------------------------------------------------------


class RequestLimits(msgspec.Struct, frozen=True):
    """What a worker may ask of Discord, for the sake of the host's address.

    brake: of `flotilla.domain.requests.Brake`. slow_per_s: requests a second while it is `slow`. quarantined: only
    vital requests, whatever the brake. report_at: invalid requests that are told at once. alone: how many a worker may
    make in a window while no supervisor is there.
    """

    brake: Brake = Brake.NONE
    quarantined: bool = False
    slow_per_s: float = 5.0
    report_at: int = 10
    alone: int = 1000


class WorkerConfig(msgspec.Struct, frozen=True):
    """How a worker runs its bot.

    discord_url: REST base. extensions: module paths that it loads. limits: those that the worker itself looks after.
    bot: how the bot is to be. version: of that config; the worker says which one it runs. metrics_every_s: how often it
    tells what it has counted. commands_epoch: of the last order to register the bot's commands whatever was registered
    before.
    """

    discord_url: str
    extensions: tuple[str, ...]
    log_level: str
    limits: "WorkerLimits"
    requests: RequestLimits = RequestLimits()
    bot: BotConfig = BotConfig()
    version: int = 0
    metrics_every_s: float = 15.0
    commands_epoch: int = 0


class WorkerLimits(msgspec.Struct, frozen=True):
    """What a worker looks after itself; of `flotilla.domain.policy.Policy`. heartbeat_s: seconds between `Beat`s.

    memory_bound_bytes: what it keeps its RLIMIT_DATA at, if it was forked with one; 0: as it is.
    """

    heartbeat_s: float = 1.0
    delivery_probe: bool = True
    delivery_quiet_s: float = 30.0
    delivery_answer_s: float = 10.0
    response_target_ms: float = 2000.0
    memory_bound_bytes: int = 0
    interaction_guard: bool = True
    interaction_defer_after_ms: float = 1800.0


class Welcome(_Message, frozen=True, tag=True):
    """The answer to Hello. token: only for a worker that has none yet; it goes nowhere else.

    secrets: environment variables of this bot alone, with their values. They come with the token, and go nowhere else.
    gateway: what Discord answered a worker of the same application lately. alone: how often it may IDENTIFY when no
    supervisor answers for `alone_after_s`.
    """

    token: str | None
    config: WorkerConfig
    gateway: GatewayAnswer | None = None
    alone: int = 0
    alone_after_s: float = 12.0
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        """Leave token and secrets out, so that no log of this object can hold them."""
        return f"Welcome(config={self.config!r}, …)"


class Configure(_Message, frozen=True, tag=True):
    """The bot's policy has changed: these hold from now on."""

    limits: WorkerLimits


class Reconfigure(_Message, frozen=True, tag=True):
    """The bot is to be so now. extensions: module paths that it would load."""

    bot: BotConfig
    version: int
    extensions: tuple[str, ...]


class GuildSet(msgspec.Struct, frozen=True):
    """What is set in one guild."""

    guild_id: str
    config: GuildConfig
    version: int


class GuildsChanged(_Message, frozen=True, tag=True):
    """These guilds' configs hold now; all changes up to `guilds_version` are told. all_else: the others may be old."""

    guilds_version: int
    guilds: tuple[GuildSet, ...]
    all_else: bool = False


class Throttle(_Message, frozen=True, tag=True):
    """What the worker may ask of Discord from now on."""

    requests: RequestLimits


class TakeHeap(_Message, frozen=True, tag=True):
    """Say what your memory is made of. brief: at once. trace_s: trace allocations for so many seconds first."""

    number: int
    brief: bool = False
    trace_s: float = 0.0


class MayIdentify(_Message, frozen=True, tag=True):
    """The session start with this number is recorded and granted."""

    shard_id: int
    number: int


class NotYet(_Message, frozen=True, tag=True):
    """The session start with this number is not granted; ask again in `wait_s`.

    code: the reason, of `flotilla.domain.sessions.BUDGET_REASONS`; None if it is only Discord's rate of IDENTIFYs.
    """

    shard_id: int
    number: int
    wait_s: float
    code: str | None


class Relieved(_Message, frozen=True, tag=True):
    """Another connection speaks for the bot now. A worker that is sealed need not look for its supervisor any more."""


class CommandsStored(_Message, frozen=True, tag=True):
    """The logs of this batch are safe: in the database, or on this host's disk on their way there."""

    number: int


class HappenedStored(_Message, frozen=True, tag=True):
    """What this batch of `Happened` told is in the database."""

    number: int


class Answered(_Message, frozen=True, tag=True):
    """The answer to `Ask` with this number. code: why there is none; body is a sentence for the log then."""

    number: int
    body: bytes
    code: str = ""


class SyncCommands(_Message, frozen=True, tag=True):
    """Register the bot's commands with Discord, unless that was done for this `commands_epoch` already."""

    commands_epoch: int


class Refused(_Message, frozen=True, tag=True):
    """The worker is not the one that should run; it exits."""

    why: str


# Supervisor to fork server -------------------------------------------------------------------------------------------


class Walls(msgspec.Struct, frozen=True, array_like=True):
    """What a worker can reach once Landlock holds it, besides the system, the code, its log and its session.

    abi: version of Landlock to ask for, at least 1. closed: what is never part of what it may read: the home, and the
    database. read, write: what all bots may read or change besides. listen, connect: TCP ports; connect None: any.
    """

    abi: int
    closed: tuple[str, ...]
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    listen: tuple[int, ...] = ()
    connect: tuple[int, ...] | None = None


class Bounds(msgspec.Struct, frozen=True, array_like=True):
    """What the kernel holds a worker to, from before its bot's first line of code runs.

    open_files: RLIMIT_NOFILE. growth_bytes: private memory it may take beyond what it has when forked (RLIMIT_DATA).
    cgroup: folder of the cgroup that it joins. uid: its own user and group; fleet_gid: the group that may reach the
    control socket. processes: RLIMIT_NPROC, which counts per user, so only with a uid. None or empty: no limit.
    searches: it keeps the capability to read what its user may not, which only `walls` make harmless. folder,
    temporary: where its bot's code may keep files, and have some for a while. mark: as `flotilla.mark.worker_mark` has
    it. file_bytes: size of a file (RLIMIT_FSIZE).
    """

    open_files: int = 4096
    growth_bytes: int | None = None
    cgroup: str = ""
    uid: int | None = None
    fleet_gid: int = 0
    processes: int = 256
    walls: Walls | None = None
    searches: bool = False
    folder: str = ""
    temporary: str = ""
    mark: tuple[int, int] | None = None
    file_bytes: int | None = None


class Fork(_Message, frozen=True, tag=True):
    """Fork a worker. It asks for its token itself, over the control socket: the fork server never sees one.

    session_path: where the worker keeps its gateway session and finds that of the one before; empty: it does not.
    """

    bot_id: str
    name: str
    generation: int
    secret: bytes
    control_path: str
    log_path: str
    session_path: str = ""
    bounds: Bounds = Bounds()


class Preload(_Message, frozen=True, tag=True):
    """Import these extensions and the modules of apps (`module:function`): all workers forked later share them.

    path: folders where they may lie besides what is installed, searched last. merge_memory: ask the kernel to merge
    identical pages of all of them. timeout_s: by when it should be over. secret_names: variables that bots have as
    secrets: a module that asks for one when it is imported is left to its worker, which has it.
    """

    modules: tuple[str, ...]
    path: tuple[str, ...] = ()
    merge_memory: bool = False
    timeout_s: float = 60.0
    secret_names: tuple[str, ...] = ()


class Ping(_Message, frozen=True, tag=True):
    """Answer with `Pong`: orders are carried out one after the other, so that says that all before it are."""


# Fork server to supervisor -------------------------------------------------------------------------------------------


class Warm(_Message, frozen=True, tag=True):
    """The fork server has imported and warmed itself. warm_s: how long that took. version: of this protocol."""

    warm_s: float
    version: int = 0


class Preloaded(_Message, frozen=True, tag=True):
    """The answer to `Preload`. fault: the tracebacks of what failed, empty if nothing did; it serves all the same."""

    fault: str = ""


class Forked(_Message, frozen=True, tag=True):
    """The process is there. started_at: its start time in clock ticks since boot; 0: not known."""

    bot_id: str
    generation: int
    pid: int
    started_at: int


class ForkFailed(_Message, frozen=True, tag=True):
    """The kernel refused to fork."""

    bot_id: str
    generation: int
    why: str


class Reaped(_Message, frozen=True, tag=True):
    """A worker's exit code, as `subprocess` has it: at least 0, or minus the signal."""

    pid: int
    exit_code: int


class Pong(_Message, frozen=True, tag=True):
    """The answer to `Ping`."""


FromForkServer = Warm | Preloaded | Forked | ForkFailed | Reaped | Pong
FromWorker = (
    Hello
    | Fetch
    | Ready
    | NotReady
    | Beat
    | Probed
    | Failing
    | Sealed
    | InvalidRequests
    | Heap
    | AskIdentify
    | IdentifiedAlone
    | GatewaySeen
    | CommandsRan
    | Configured
    | Ask
    | Measured
    | Happened
    | Without
)
ToWorker = (
    Welcome
    | Configure
    | Reconfigure
    | GuildsChanged
    | Throttle
    | TakeHeap
    | MayIdentify
    | NotYet
    | Relieved
    | CommandsStored
    | Answered
    | SyncCommands
    | Refused
    | HappenedStored
)
ToForkServer = Preload | Fork | Ping

Message = TypeVar("Message")


class Decoder(Generic[Message]):
    """Decodes bodies of frames. kinds: a union of message types."""

    def __init__(self, kinds: Any) -> None:  # noqa: ANN401 - there is no type of a union of types
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(kinds)

    def decode(self, body: bytes) -> Message:
        """Return the message. Raises msgspec.DecodeError or, for what no decoder goes into, ProtocolError."""
        try:
            return self._decoder.decode(body)
        except RecursionError:
            raise ProtocolError("it is nested too deep") from None


from_worker: Decoder[FromWorker] = Decoder(FromWorker)
to_worker: Decoder[ToWorker] = Decoder(ToWorker)
from_fork_server: Decoder[FromForkServer] = Decoder(FromForkServer)
to_fork_server: Decoder[ToForkServer] = Decoder(ToForkServer)
_encoder = msgspec.msgpack.Encoder()


def encode(message: FromWorker | ToWorker | FromForkServer | ToForkServer) -> bytes:
    """Return the message as one frame."""
    return frame(_encoder.encode(message))


def frame(body: bytes) -> bytes:
    """Return a body as a frame."""
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Turns received bytes, in pieces of any size, into the bodies of frames of at most `max_bytes`."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self.max_bytes = max_bytes

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield the body of every frame that is complete now.

        Raises ProtocolError for a frame above the limit: the peer is not one of ours.
        """
        self._buffer += received
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.max_bytes:
                raise ProtocolError(f"a frame of {length} bytes is above the limit of {self.max_bytes}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield body
