"""One gateway connection as a state machine: frames in, effects out. Pure; the shell owns the socket and the clock."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from sandbox import limits
from sandbox.gateway import codes, frames, payloads
from sandbox.gateway.codes import Opcode
from sandbox.gateway.hooks import Hooks, NoHooks
from sandbox.gateway.ledger import Verdict
from sandbox.gateway.session import (
    ALL_INTENTS,
    PRIVILEGED_INTENTS,
    ReplayLostError,
    SequenceUnknownError,
    Session,
)
from sandbox.gateway.transport import STREAMS
from sandbox.gateway.welcome import send_members, welcome
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application

GuildCount = Callable[[Application, tuple[int, int]], int]
"""How many guilds of an application a shard (shard_id, num_shards) serves."""
T = TypeVar("T")
_NEEDS_SESSION = frozenset({
    Opcode.PRESENCE_UPDATE,
    Opcode.VOICE_STATE_UPDATE,
    Opcode.REQUEST_GUILD_MEMBERS,
    Opcode.REQUEST_SOUNDBOARD_SOUNDS,
    Opcode.REQUEST_CHANNEL_INFO,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Send:
    """Send a payload."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class CompressPayloads:
    """Compress large payloads from here on, each by itself."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Send at most so many bytes a second; None lifts it."""

    bytes_per_s: float | None


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with a code and a reason; nothing is sent after it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the TCP connection without a close frame; with a reset if `reset`."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """Send half of a payload's frame, then cut the TCP connection."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class FallSilent:
    """Keep the socket open, but neither read nor answer any more."""


Effect = Send | CompressPayloads | Pace | Close | Drop | Truncate | FallSilent


def nobody_counts(_: Application, __: tuple[int, int]) -> int:
    """Return 0: no shard is ever too large."""
    return 0


class Connection:
    """From HELLO to close. `emit` takes each effect in order; `url` is where a client resumes."""

    def __init__(
        self,
        discord: LocalDiscord,
        url: str,
        emit: Callable[[Effect], None],
        hooks: Hooks | None = None,
        guild_count: GuildCount = nobody_counts,
    ) -> None:
        self._discord = discord
        self._url = url
        self._emit = emit
        self._hooks = hooks or NoHooks()
        self._guild_count = guild_count
        self._compress = ""
        self._sent_at: deque[float] = deque()
        self._closed_with: int | None = None
        self._silent = False
        self._application: Application | None = None
        self.session: Session | None = None
        self._paces: dict[int, float] = {}
        self.unacknowledged_by: set[int] = set()
        """The faults, by id, for which heartbeats are not acknowledged."""
        self.deadline = float("inf")
        """When the client counts as a zombie, in Unix seconds; each heartbeat moves it."""

    @property
    def application_id(self) -> str | None:
        """The application that is connected, once it has identified or resumed."""
        return self._application.id if self._application else None

    def open(self, version: str, encoding: str, compress: str, now: float) -> None:
        """Greet the client, or close on query parameters the sandbox does not speak."""
        self._compress = compress
        if version != str(limits.API_VERSION):
            self.close(codes.INVALID_API_VERSION)
        elif encoding != "json" or (compress and compress not in STREAMS):
            spoken = ", ".join(STREAMS)
            self.close(codes.DECODE_ERROR, f"The sandbox speaks json with {spoken}, not {encoding} {compress}.".strip())
        else:
            self._beat(now)
            interval_ms = self._discord.rules.heartbeat_interval_ms
            self._emit(Send(frames.control(Opcode.HELLO, {"heartbeat_interval": interval_ms, "_trace": []})))

    def receive(self, frame: bytes, now: float) -> None:
        """Handle one frame of the client."""
        if self._closed_with is not None or self._silent:
            return
        self._sent_at.append(now)
        while self._sent_at[0] <= now - limits.SEND_WINDOW_S:
            self._sent_at.popleft()
        if len(self._sent_at) > limits.SEND_MAX:
            self.close(codes.RATE_LIMITED)
        elif len(frame) > limits.PAYLOAD_MAX_BYTES:
            self.close(codes.DECODE_ERROR)
        else:
            self._decode(frame, now)

    def _decode(self, frame: bytes, now: float) -> None:
        try:
            payload = msgspec.json.decode(frame)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self.close(codes.DECODE_ERROR)
            return
        if not isinstance(payload, dict) or type(payload.get("op")) is not int:
            self.close(codes.DECODE_ERROR)
            return
        self._handle(payload["op"], payload.get("d"), now)

    def _handle(self, op: int, body: object, now: float) -> None:
        if op == Opcode.HEARTBEAT:
            self._beat(now)
            if not self.unacknowledged_by:
                self._emit(Send(frames.HEARTBEAT_ACK))
        elif op == Opcode.IDENTIFY:
            self._authenticate(payloads.Identify, body, now)
        elif op == Opcode.RESUME:
            self._authenticate(payloads.Resume, body, now)
        elif op not in _NEEDS_SESSION:
            self.close(codes.UNKNOWN_OPCODE)
        elif self.session is None:
            self.close(codes.NOT_AUTHENTICATED)
        else:
            self._serve(self.session, op, body, now)

    def _serve(self, session: Session, op: int, body: object, now: float) -> None:
        if op == Opcode.PRESENCE_UPDATE and _parsed(body, payloads.Presence) is None:
            self.close(codes.UNKNOWN_OPCODE)
        elif op == Opcode.PRESENCE_UPDATE and isinstance(body, dict):
            session.presence = body
        elif op == Opcode.REQUEST_GUILD_MEMBERS and self._may_ask_for_members(session, body, now):
            send_members(self._discord.world, session, body)

    def _authenticate(self, kind: type[payloads.Identify | payloads.Resume], body: object, now: float) -> None:
        if self.session is not None:
            self.close(codes.ALREADY_AUTHENTICATED)
        elif (greeting := _parsed(body, kind)) is None:
            self.close(codes.DECODE_ERROR)
        elif (application := self._discord.world.authenticate(greeting.token.removeprefix("Bot "))) is None:
            self.close(codes.AUTHENTICATION_FAILED)
        elif self._hooks.refuses_connection(application.id):
            self.drop(reset=True)
        elif isinstance(greeting, payloads.Identify):
            self._identify(application, greeting, now)
        else:
            self._resume(application, greeting, now)

    def _identify(self, application: Application, identify: payloads.Identify, now: float) -> None:
        shard, intents = payloads.shard_of(identify.shard), identify.intents
        starts = application.starts
        if shard is None:
            self.close(codes.INVALID_SHARD)
        elif type(intents) is not int or intents & ~ALL_INTENTS or intents < 0:
            self.close(codes.INVALID_INTENTS)
        elif self._may_not_use(application, intents):
            self.close(codes.DISALLOWED_INTENTS)
        elif self._guild_count(application, shard) > starts.shard_guilds_max:
            self.close(codes.SHARDING_REQUIRED)
        elif (verdict := starts.identify(shard[0], now)) is Verdict.ACCEPTED:
            self._start(application, shard, intents, identify, now)
        elif verdict is Verdict.TOO_FAST:
            self._emit(Send(frames.INVALID_SESSION[False]))
        else:
            self._discord.revoke(application)
            self.close(codes.AUTHENTICATION_FAILED)

    def _may_not_use(self, application: Application, intents: int) -> bool:
        if not intents & PRIVILEGED_INTENTS:
            return False
        return application.privileged_refused or self._hooks.revokes_intents(application.id)

    def _start(
        self, application: Application, shard: tuple[int, int], intents: int, identify: payloads.Identify, now: float
    ) -> None:
        application.identifies += 1
        self._discord.changes += 1
        session_id = f"{int(self._discord.ids.next(now)):032x}"
        session = self._discord.sessions.open(session_id, application.id, intents, shard, now)
        session.compress, session.presence = bool(identify.compress), identify.presence
        self._attach(application, session)
        welcome(self._discord.world, application, session, self._url)
        self._hooks.attached(self)

    def _resume(self, application: Application, resume: payloads.Resume, now: float) -> None:
        session = self._discord.sessions.get(resume.session_id, now)
        if session is None or session.application_id != application.id:
            self._emit(Send(frames.INVALID_SESSION[False]))
        elif self._may_not_use(application, session.intents):
            self._discord.sessions.end(session)
            self.close(codes.DISALLOWED_INTENTS)
        elif refusal := self._hooks.refuses_resume(application.id):
            self._refuse(session, spare=refusal == "spare")
        else:
            self._replay(application, session, resume.seq)

    def _replay(self, application: Application, session: Session, seq: int) -> None:
        try:
            missed = session.missed_since(seq)
        except SequenceUnknownError:
            self._discord.sessions.end(session)
            self.close(codes.INVALID_SEQ)
        except ReplayLostError:
            self._refuse(session)
        else:
            application.resumes += 1
            away_since = session.away_since
            application.resume_gap_s = 0.0 if away_since is None else self._discord.clock() - away_since
            if session.client is not None:
                session.client.lose_session()
            self._attach(application, session)
            if session.deafness is not None and session.deafness.heals_on_resume:
                session.deafness = None
            for frame in missed:
                self._emit(Send(frame))
            session.tell("RESUMED", b'{"_trace":[]}')
            self._hooks.attached(self)

    def _refuse(self, session: Session, *, spare: bool = False) -> None:
        if not (spare and session.client is not None):
            if session.client is not None:
                session.client.lose_session()
            self._discord.sessions.end(session)
        self._emit(Send(frames.INVALID_SESSION[False]))

    def _attach(self, application: Application, session: Session) -> None:
        self._application, self.session = application, session
        self._discord.sessions.attach(session, self)
        if session.compress and not self._compress:
            self._emit(CompressPayloads())

    def deliver(self, frame: bytes) -> None:
        """Send a payload of the session."""
        self._emit(Send(frame))

    def lose_session(self) -> None:
        """Close because another connection resumed the session."""
        self.session = None
        self.close(codes.UNKNOWN_ERROR, "Session resumed elsewhere.")

    def _may_ask_for_members(self, session: Session, body: object, now: float) -> bool:
        guild_id = payloads.asks_for_all_members(body)
        if guild_id is None or not isinstance(body, dict):
            return True
        asked_at = self._discord.sessions.members_asked_at
        key = (session.application_id, guild_id)
        wait_s = asked_at.get(key, -limits.MEMBERS_INTERVAL_S) + limits.MEMBERS_INTERVAL_S - now
        if wait_s <= 0:
            asked_at[key] = now
            return True
        meta = {"guild_id": guild_id} | ({"nonce": body["nonce"]} if body.get("nonce") is not None else {})
        limited = {"opcode": Opcode.REQUEST_GUILD_MEMBERS, "retry_after": round(wait_s, 3), "meta": meta}
        session.dispatch("RATE_LIMITED", limited)
        return False

    def _beat(self, now: float) -> None:
        self.deadline = now + limits.ZOMBIE_INTERVALS * self._discord.rules.heartbeat_interval_ms / 1000

    def tick(self, now: float) -> None:
        """Close with 4009 if the client has not sent a heartbeat for one and a half intervals."""
        if now < self.deadline:
            return
        if not self._silent:
            self.close(codes.SESSION_TIMED_OUT)
        elif self.session is not None:
            session, self.session = self.session, None
            self._discord.sessions.detach(session, now)

    def request_reconnect(self) -> None:
        """Ask the client to reconnect and resume (op 7)."""
        self._emit(Send(frames.RECONNECT))

    def request_heartbeat(self) -> None:
        """Ask the client for a heartbeat at once (op 1)."""
        self._emit(Send(frames.HEARTBEAT))

    def invalidate(self, *, resumable: bool) -> None:
        """Tell the client that its session is invalid (op 9): it ends here and now, or waits for a resume.

        Either way the client may go on over this connection, as discord.js does with a session that it may resume.
        """
        session, self.session = self.session, None
        if session is not None and resumable:
            self._discord.sessions.detach(session, self._discord.clock())
        elif session is not None:
            self._discord.sessions.end(session)
        self._emit(Send(frames.INVALID_SESSION[resumable]))

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection from the server's side, once; the first close decides."""
        if self._closed_with is None:
            self._closed_with = code
            self._emit(Close(code, reason or codes.REASONS.get(code, "")))

    def drop(self, *, reset: bool = False) -> None:
        """Cut the TCP connection, as a network fault does."""
        self._emit(Drop(reset))

    def truncate(self) -> None:
        """Send half a frame and cut the TCP connection."""
        self._emit(Truncate(frames.control(Opcode.HEARTBEAT, "x" * limits.SEND_MAX)))

    def pace(self, fault_id: int, bytes_per_s: float | None) -> None:
        """Send at most so many bytes a second because of a fault; None lifts it. The slowest fault decides."""
        if bytes_per_s is None:
            if self._paces.pop(fault_id, None) is None:
                return
        else:
            self._paces[fault_id] = bytes_per_s
        self._emit(Pace(min(self._paces.values(), default=None)))

    def fall_silent(self) -> None:
        """Become half open: the socket stays, nothing is read or answered; the session waits for a resume."""
        self._silent = True
        self._emit(FallSilent())

    def closed(self, client_code: int | None, now: float) -> None:
        """Settle the session once the socket is gone.

        client_code: the close code the client sent, or None if it sent none.
        """
        session, self.session = self.session, None
        if session is None:
            return
        session.client = None
        code = self._closed_with if self._closed_with is not None else client_code
        if code in codes.ENDS_SESSION and not self._silent:
            self._discord.sessions.end(session)
        else:
            self._discord.sessions.detach(session, now)


def _parsed(body: object, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError:
        return None
