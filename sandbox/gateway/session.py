"""A gateway session: its sequence, the events it keeps for a resume, and the intents that gate them."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from sandbox import limits
from sandbox.gateway import frames, intents
from sandbox.gateway.intents import ALL as ALL_INTENTS
from sandbox.gateway.intents import GUILD_MEMBERS, GUILD_MESSAGES, GUILDS
from sandbox.gateway.intents import PRIVILEGED as PRIVILEGED_INTENTS
from sandbox.gateway.replay import Kept, Replay
from sandbox.snowflakes import shard_of

__all__ = [
    "ALL_INTENTS",
    "GUILDS",
    "GUILD_MEMBERS",
    "GUILD_MESSAGES",
    "PRIVILEGED_INTENTS",
    "Client",
    "Deafness",
    "ReplayLostError",
    "SequenceUnknownError",
    "Session",
    "Sessions",
]


class Client(Protocol):
    """The connection a session is attached to."""

    def deliver(self, frame: bytes) -> None:
        """Send a payload."""

    def request_reconnect(self) -> None:
        """Ask the client to reconnect and resume."""

    def request_heartbeat(self) -> None:
        """Ask the client for a heartbeat at once."""

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection from the server's side."""

    def drop(self, *, reset: bool = False) -> None:
        """Cut the TCP connection."""

    def lose_session(self) -> None:
        """Close because another connection resumed the session."""


class SequenceUnknownError(Exception):
    """A resume names a sequence number the session never sent: close 4007."""


class ReplayLostError(Exception):
    """A resume needs events the buffer no longer holds: op 9."""


@dataclass(frozen=True, slots=True)
class Deafness:
    """Why a session gets no events: fault `fault_id`. `keep` says whether a resume replays what it missed."""

    fault_id: int
    keep: bool
    heals_on_resume: bool


@dataclass(slots=True, eq=False)
class Session:
    """One session: connected while `client` is set, else resumable until `expires_at` (Unix seconds)."""

    id: str
    application_id: str
    intents: int
    shard: tuple[int, int]
    replay: Replay
    compress: bool = False
    """Whether large payloads are compressed one by one, where the transport compresses nothing."""
    seq: int = 0
    client: Client | None = None
    expires_at: float | None = None
    away_since: float | None = None
    """When the client was lost, in Unix seconds; None while one is connected."""
    deafness: Deafness | None = None
    presence: dict[str, Any] | None = None
    """As the bot said last how it shows itself."""
    buffer: deque[Kept] = field(default_factory=deque)

    def dispatch(self, name: str, event: dict[str, Any]) -> None:
        """Encode an event and dispatch it."""
        self.dispatch_encoded(name, frames.encode(event))

    def dispatch_encoded(self, name: str, body: bytes) -> None:
        """Number an event, keep it for a replay, and deliver it if a client is connected.

        body: the event as JSON. Hand the same object to every session that gets the event: it is kept once.
        """
        if self.deafness is None:
            self.tell(name, body)
        elif self.deafness.keep:
            self._number(name, body)

    def tell(self, name: str, body: bytes) -> None:
        """Dispatch an event even to a deaf session, such as the RESUMED that ends its handshake."""
        self._number(name, body)
        if self.client is not None:
            self.client.deliver(frames.event(name, self.seq, body))

    def _number(self, name: str, body: bytes) -> None:
        self.seq += 1
        self.replay.keep(self.buffer, self.seq, name, body)

    def wants(self, name: str, guild_id: str | None) -> bool:
        """Return whether an event concerns this session: its shard serves the guild, and it has an intent for it.

        guild_id: None for what belongs to no guild, such as direct messages; shard 0 serves it (documented).
        """
        needed = intents.gate(name, direct=guild_id is None)
        if needed and not self.intents & needed:
            return False
        shard_id, num_shards = self.shard
        return num_shards == 1 or shard_id == (0 if guild_id is None else shard_of(int(guild_id), num_shards))

    def receives(self, guild_id: str, intent: int) -> bool:
        """Return whether a guild's event reaches this session; `intent` 0 stands for events no intent gates."""
        return (not intent or bool(self.intents & intent)) and shard_of(int(guild_id), self.shard[1]) == self.shard[0]

    def missed_since(self, seq: int) -> list[bytes]:
        """Return the payloads of the events after `seq`, in order.

        Raises SequenceUnknownError if `seq` was never reached, ReplayLostError if the buffer does not go back to it.
        """
        if not 0 <= seq <= self.seq:
            raise SequenceUnknownError
        skipped = len(self.buffer) - (self.seq - seq)
        if skipped < 0:
            raise ReplayLostError
        return [frames.event(kept.name, kept.seq, kept.body) for kept in islice(self.buffer, skipped, None)]


class Sessions:
    """All sessions, by id and by application."""

    def __init__(
        self, resume_window_s: float, heartbeat_interval_s: float = limits.HEARTBEAT_INTERVAL_MS / 1000
    ) -> None:
        self._resume_window_s = resume_window_s
        # A client may miss events for as long as it counts as alive, and then has the resume window to ask for them.
        self.replay = Replay(resume_window_s + limits.ZOMBIE_INTERVALS * heartbeat_interval_s)
        self.members_asked_at: dict[tuple[str, str], float] = {}
        """When each (application, guild) was last asked for all of its members, in Unix seconds."""
        self._by_id: dict[str, Session] = {}
        self._by_application: dict[str, dict[str, Session]] = {}
        self._detached: dict[str, Session] = {}  # in the order in which they expire

    def open(
        self, session_id: str, application_id: str, session_intents: int, shard: tuple[int, int], now: float
    ) -> Session:
        """Return a new session."""
        self.replay.advance(now)
        session = Session(session_id, application_id, session_intents, shard, self.replay)
        self._by_id[session.id] = session
        self._by_application.setdefault(application_id, {})[session.id] = session
        return session

    def get(self, session_id: str, now: float) -> Session | None:
        """Return a session that is connected or still resumable at `now`."""
        session = self._by_id.get(session_id)
        if session is not None and session.expires_at is not None and now >= session.expires_at:
            self.end(session)
            return None
        return session

    def of(self, application_id: str) -> list[Session]:
        """Return the application's sessions, connected or resumable."""
        return list(self._by_application.get(application_id, {}).values())

    def everyone(self) -> list[Session]:
        """Return all sessions, connected or resumable, oldest first."""
        return list(self._by_id.values())

    def attach(self, session: Session, client: Client) -> None:
        """Give a session to a connection."""
        session.client, session.expires_at, session.away_since = client, None, None
        self._detached.pop(session.id, None)

    def detach(self, session: Session, now: float) -> None:
        """Note that the client is gone: the session stays resumable for the resume window."""
        session.client, session.expires_at, session.away_since = None, now + self._resume_window_s, now
        self._detached[session.id] = session

    def clients_of(self, application_id: str) -> list[Client]:
        """Return the connections of the application's sessions."""
        return [session.client for session in self.of(application_id) if session.client is not None]

    def end(self, session: Session) -> None:
        """Forget a session."""
        session.client = None
        self.replay.forget(session.buffer)
        self._detached.pop(session.id, None)
        self._by_id.pop(session.id, None)
        own = self._by_application.get(session.application_id, {})
        own.pop(session.id, None)
        if not own:
            self._by_application.pop(session.application_id, None)

    def prune(self, now: float) -> None:
        """Forget sessions whose resume window has closed, and events nobody can need; touches nothing else."""
        self.replay.advance(now)
        for session in list(self._detached.values()):
            if self.get(session.id, now) is not None:
                break
        cutoff = now - limits.MEMBERS_INTERVAL_S
        for asked in [asked for asked, at in self.members_asked_at.items() if at <= cutoff]:
            del self.members_asked_at[asked]
