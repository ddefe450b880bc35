"""A gateway session: its sequence, the events it keeps for a resume, and the intents that gate them."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox import limits
from sandbox.snowflakes import shard_of

GUILDS = 1 << 0
GUILD_MEMBERS = 1 << 1
GUILD_MESSAGES = 1 << 9
PRIVILEGED_INTENTS = (1 << 1) | (1 << 8) | (1 << 15)  # documented: members, presences, message content
# Documented: bits 0-16, 20, 21 (auto moderation), 24, 25 (polls). Any other bit closes with 4013.
ALL_INTENTS = (1 << 17) - 1 | (1 << 20) | (1 << 21) | (1 << 24) | (1 << 25)

Payload = dict[str, Any]


class Client(Protocol):
    """The connection a session is attached to."""

    def deliver(self, payload: Payload) -> None:
        """Send a payload."""

    def request_reconnect(self) -> None:
        """Ask the client to reconnect and resume."""

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection from the server's side."""

    def drop(self) -> None:
        """Cut the TCP connection."""

    def lose_session(self) -> None:
        """Close because another connection resumed the session."""


class SequenceUnknownError(Exception):
    """A resume names a sequence number the session never sent: close 4007."""


class ReplayLostError(Exception):
    """A resume needs events the buffer no longer holds: op 9."""


@dataclass(slots=True)
class Session:
    """One session: connected while `client` is set, else resumable until `expires_at` (Unix seconds)."""

    id: str
    application_id: str
    intents: int
    shard: tuple[int, int]
    seq: int = 0
    client: Client | None = None
    expires_at: float | None = None
    buffer: deque[Payload] = field(default_factory=lambda: deque(maxlen=limits.REPLAY_MAX_EVENTS))

    def dispatch(self, name: str, event: dict[str, Any]) -> None:
        """Number an event, keep it for a replay, and deliver it if a client is connected."""
        self.seq += 1
        payload: Payload = {"op": 0, "t": name, "s": self.seq, "d": event}
        self.buffer.append(payload)
        if self.client is not None:
            self.client.deliver(payload)

    def receives(self, guild_id: str, intent: int) -> bool:
        """Return whether a guild's event reaches this session; `intent` 0 stands for events no intent gates."""
        return (not intent or bool(self.intents & intent)) and shard_of(int(guild_id), self.shard[1]) == self.shard[0]

    def missed_since(self, seq: int) -> list[Payload]:
        """Return the events after `seq`, in order.

        Raises SequenceUnknownError if `seq` was never reached, ReplayLostError if the buffer does not go back to it.
        """
        if not 0 <= seq <= self.seq:
            raise SequenceUnknownError
        missed = [payload for payload in self.buffer if payload["s"] > seq]
        if len(missed) != self.seq - seq:
            raise ReplayLostError
        return missed


class Sessions:
    """All sessions, by id and by application."""

    def __init__(self, resume_window_s: float) -> None:
        self._resume_window_s = resume_window_s
        self._by_id: dict[str, Session] = {}
        self._by_application: dict[str, dict[str, Session]] = {}

    def add(self, session: Session) -> None:
        """Keep a new session."""
        self._by_id[session.id] = session
        self._by_application.setdefault(session.application_id, {})[session.id] = session

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

    def detach(self, session: Session, now: float) -> None:
        """Note that the client is gone: the session stays resumable for the resume window."""
        session.client, session.expires_at = None, now + self._resume_window_s

    def clients_of(self, application_id: str) -> list[Client]:
        """Return the connections of the application's sessions."""
        return [session.client for session in self.of(application_id) if session.client is not None]

    def end(self, session: Session) -> None:
        """Forget a session."""
        session.client = None
        self._by_id.pop(session.id, None)
        self._by_application.get(session.application_id, {}).pop(session.id, None)

    def prune(self, now: float) -> None:
        """Forget sessions whose resume window has closed."""
        for session_id in list(self._by_id):
            self.get(session_id, now)
