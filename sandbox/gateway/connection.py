"""One gateway connection as a state machine: frames in, effects out. Pure; the shell owns the socket and the clock."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from sandbox import limits
from sandbox.gateway import codes
from sandbox.gateway.codes import Opcode
from sandbox.gateway.ledger import Verdict
from sandbox.gateway.session import (
    ALL_INTENTS,
    GUILD_MEMBERS,
    GUILDS,
    PRIVILEGED_INTENTS,
    Payload,
    ReplayLostError,
    SequenceUnknownError,
    Session,
)
from sandbox.local_discord import LocalDiscord
from sandbox.world import objects
from sandbox.world.world import Application

_ACCEPTED_UNANSWERED = frozenset({
    Opcode.PRESENCE_UPDATE,
    Opcode.VOICE_STATE_UPDATE,
    Opcode.REQUEST_SOUNDBOARD_SOUNDS,
    Opcode.REQUEST_CHANNEL_INFO,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Send:
    """Send a payload."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with a code and a reason; nothing is sent after it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the TCP connection without a close frame."""


Effect = Send | Close | Drop


class Connection:
    """From HELLO to close. `emit` takes each effect in order; `url` is where a client resumes."""

    def __init__(self, discord: LocalDiscord, url: str, emit: Callable[[Effect], None]) -> None:
        self._discord = discord
        self._url = url
        self._emit = emit
        self._sent_at: deque[float] = deque()
        self._closed_with: int | None = None
        self._application: Application | None = None
        self.session: Session | None = None
        self.deadline = float("inf")
        """When the client counts as a zombie, in Unix seconds; each heartbeat moves it."""

    @property
    def application_id(self) -> str | None:
        """The application that is connected, once it has identified or resumed."""
        return self._application.id if self._application else None

    def open(self, version: str, encoding: str, compress: str, now: float) -> None:
        """Greet the client, or close on query parameters the sandbox does not speak."""
        if version != str(limits.API_VERSION):
            self.close(codes.INVALID_API_VERSION)
        elif encoding != "json" or compress not in {"", "zlib-stream"}:
            self.close(
                codes.DECODE_ERROR, f"The sandbox speaks json with zlib-stream, not {encoding} {compress}.".strip()
            )
        else:
            self._beat(now)
            interval_ms = self._discord.rules.heartbeat_interval_ms
            self._emit(
                Send({"op": Opcode.HELLO, "s": None, "t": None, "d": {"heartbeat_interval": interval_ms, "_trace": []}})
            )

    def receive(self, frame: bytes, now: float) -> None:
        """Handle one frame of the client."""
        if self._closed_with is not None:
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
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.close(codes.DECODE_ERROR)
            return
        if not isinstance(payload, dict) or type(payload.get("op")) is not int:
            self.close(codes.DECODE_ERROR)
            return
        self._handle(payload["op"], payload.get("d"), now)

    def _handle(self, op: int, body: Any, now: float) -> None:  # noqa: ANN401 - any JSON value
        if op == Opcode.HEARTBEAT:
            self._beat(now)
            self._emit(Send({"op": Opcode.HEARTBEAT_ACK, "s": None, "t": None, "d": None}))
        elif op in {Opcode.IDENTIFY, Opcode.RESUME}:
            self._authenticate(op, body, now)
        elif op not in _ACCEPTED_UNANSWERED and op != Opcode.REQUEST_GUILD_MEMBERS:
            self.close(codes.UNKNOWN_OPCODE)
        elif self.session is None:
            self.close(codes.NOT_AUTHENTICATED)
        elif op == Opcode.REQUEST_GUILD_MEMBERS:
            self._members(body)

    def _authenticate(self, op: int, body: Any, now: float) -> None:  # noqa: ANN401 - any JSON value
        if self.session is not None:
            self.close(codes.ALREADY_AUTHENTICATED)
        elif not isinstance(body, dict) or not isinstance(body.get("token"), str):
            self.close(codes.DECODE_ERROR)
        elif (application := self._discord.world.authenticate(body["token"].removeprefix("Bot "))) is None:
            self.close(codes.AUTHENTICATION_FAILED)
        elif op == Opcode.IDENTIFY:
            self._identify(application, body, now)
        else:
            self._resume(application, body, now)

    def _identify(self, application: Application, body: dict[str, Any], now: float) -> None:
        shard, intents = _shard(body), body.get("intents")
        if shard is None:
            self.close(codes.INVALID_SHARD)
        elif type(intents) is not int or intents & ~ALL_INTENTS or intents < 0:
            self.close(codes.INVALID_INTENTS)
        elif application.privileged_refused and intents & PRIVILEGED_INTENTS:
            self.close(codes.DISALLOWED_INTENTS)
        else:
            verdict = application.starts.identify(shard[0], now)
            if verdict is Verdict.ACCEPTED:
                application.identifies += 1
                session_id = f"{int(self._discord.ids.next(now)):032x}"
                session = Session(session_id, application.id, intents, shard)
                self._discord.sessions.add(session)
                self._attach(application, session)
                self._welcome(application, session)
            elif verdict is Verdict.TOO_FAST:
                self._invalid_session()
            else:
                self._discord.revoke(application)
                self.close(codes.AUTHENTICATION_FAILED)

    def _welcome(self, application: Application, session: Session) -> None:
        home = application.home
        guild_ids = [home.guild_id] if session.receives(home.guild_id, 0) else []
        ready = objects.ready(application.bot, session.id, session.shard, self._url, guild_ids)
        session.dispatch("READY", ready)
        if session.receives(home.guild_id, GUILDS):
            people = (application.bot, home.owner) if session.intents & GUILD_MEMBERS else (application.bot,)
            session.dispatch("GUILD_CREATE", objects.gateway_guild(home, people))

    def _resume(self, application: Application, body: dict[str, Any], now: float) -> None:
        session = self._discord.sessions.get(str(body.get("session_id")), now)
        if type(seq := body.get("seq")) is not int:
            self.close(codes.DECODE_ERROR)
            return
        if session is None or session.application_id != application.id:
            self._invalid_session()
            return
        try:
            missed = session.missed_since(seq)
        except SequenceUnknownError:
            self._discord.sessions.end(session)
            self.close(codes.INVALID_SEQ)
        except ReplayLostError:
            self._discord.sessions.end(session)
            self._invalid_session()
        else:
            application.resumes += 1
            if session.client is not None:
                session.client.lose_session()
            self._attach(application, session)
            for payload in missed:
                self._emit(Send(payload))
            session.dispatch("RESUMED", {"_trace": []})

    def _attach(self, application: Application, session: Session) -> None:
        self._application, self.session = application, session
        session.client, session.expires_at = self, None

    def deliver(self, payload: Payload) -> None:
        """Send a payload of the session."""
        self._emit(Send(payload))

    def lose_session(self) -> None:
        """Close because another connection resumed the session."""
        self.session = None
        self.close(4000, "Session resumed elsewhere.")

    def _members(self, body: Any) -> None:  # noqa: ANN401 - any JSON value
        application, session = self._application, self.session
        if application is None or session is None or not isinstance(body, dict):
            return
        home = application.home
        people = (application.bot, home.owner)
        wanted = body.get("user_ids")
        found = [user for user in people if not wanted or user.id in wanted]
        if str(body.get("guild_id")) == home.guild_id:
            chunk: dict[str, Any] = {"guild_id": home.guild_id, "chunk_index": 0, "chunk_count": 1, "not_found": []}
            chunk["members"] = [objects.member(user) for user in found]
            if body.get("nonce") is not None:
                chunk["nonce"] = body["nonce"]
            session.dispatch("GUILD_MEMBERS_CHUNK", chunk)

    def _invalid_session(self) -> None:
        self._emit(Send({"op": Opcode.INVALID_SESSION, "s": None, "t": None, "d": False}))

    def _beat(self, now: float) -> None:
        self.deadline = now + limits.ZOMBIE_INTERVALS * self._discord.rules.heartbeat_interval_ms / 1000

    def tick(self, now: float) -> None:
        """Close with 4009 if the client has not sent a heartbeat for one and a half intervals."""
        if now >= self.deadline:
            self.close(codes.SESSION_TIMED_OUT)

    def request_reconnect(self) -> None:
        """Ask the client to reconnect and resume (op 7)."""
        self._emit(Send({"op": Opcode.RECONNECT, "s": None, "t": None, "d": None}))

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection from the server's side, once; the first close decides."""
        if self._closed_with is None:
            self._closed_with = code
            self._emit(Close(code, reason or codes.REASONS.get(code, "")))

    def drop(self) -> None:
        """Cut the TCP connection, as a network fault does."""
        self._emit(Drop())

    def closed(self, client_code: int | None, now: float) -> None:
        """Settle the session once the socket is gone.

        client_code: the close code the client sent, or None if it sent none.
        """
        session, self.session = self.session, None
        if session is None:
            return
        session.client = None
        code = self._closed_with if self._closed_with is not None else client_code
        if code in codes.ENDS_SESSION:
            self._discord.sessions.end(session)
        else:
            self._discord.sessions.detach(session, now)


def _shard(body: dict[str, Any]) -> tuple[int, int] | None:
    shard = body.get("shard", [0, 1])
    match shard:
        case [int(shard_id), int(num_shards)] if 0 <= shard_id < num_shards:
            return shard_id, num_shards
    return None
