"""Two sessions of one shard at once, each of which gets all events: what the bot is handed, once each, in order. Pure.

While a worker has no session of its own, its predecessor passes on what it receives. Once the worker's own session is
READY, that one is held back until the predecessor has passed its last event on; then it goes on with what it held,
less what the bot was handed already.
"""

import enum
import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

MAX_EVENTS = 10_000
MAX_BYTES = 16 * 1024 * 1024
"""Bounds of what waits in memory: some minutes of a busy shard."""

WITH_IDS = frozenset({"INTERACTION_CREATE", "MESSAGE_CREATE"})
"""Events whose id is theirs alone; the others are known by all they carry."""

Key = tuple[str, str | bytes]
Event = TypeVar("Event")
_encode = msgspec.json.Encoder(order="deterministic").encode


def encode(payload: Any) -> bytes:  # noqa: ANN401 - as Discord sent it
    """Return a payload as JSON, the same for equal payloads."""
    return _encode(payload)


def key_of(name: str, payload: Any) -> Key:  # noqa: ANN401
    """Return what is the same for the same event in two sessions."""
    if name in WITH_IDS and isinstance(payload, dict) and "id" in payload:
        return name, str(payload["id"])
    return name, hashlib.blake2b(encode(payload), digest_size=16).digest()


class Phase(enum.Enum):
    """Where a shard stands between its predecessor's session and its own."""

    RESUMING = "resuming"  # it may yet get its predecessor's session
    BORROWING = "borrowing"  # it has no session; its predecessor passes on what it gets
    HOLDING = "holding"  # its own session is READY and waits for the predecessor's last event
    CHECKING = "checking"  # its own session is used; what the predecessor was quicker with may still come
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Own(Generic[Event]):
    """An event of the shard's own session. known: the bot was handed it before, so it may change the cache at most."""

    event: Event
    known: bool = False


class Overlap(Generic[Event]):
    """One shard. `Event` is whatever the caller wants back."""

    def __init__(self) -> None:
        self.phase = Phase.RESUMING
        self._handed: Counter[Key] = Counter()
        self._held: list[tuple[str, Any, Event]] = []
        self._held_bytes = 0
        self._identified = False

    def refused(self) -> None:
        """There is no session to resume."""
        if self.phase is Phase.RESUMING:
            self.phase = Phase.BORROWING

    def identifies(self) -> None:
        """IDENTIFY is being sent: what the predecessor passed on before cannot come in the new session."""
        self._identified = True
        self._handed.clear()

    def passed_on(self, name: str, payload: Any) -> bool:  # noqa: ANN401
        """Take an event of the predecessor's; return whether the bot is to be handed it."""
        if self.phase not in {Phase.BORROWING, Phase.HOLDING}:
            return False
        if self._identified and self._handed.total() < MAX_EVENTS:
            self._handed[key_of(name, payload)] += 1
        return True

    def own(self, name: str, payload: Any, event: Event) -> list[Own[Event]]:  # noqa: ANN401
        """Take an event of the shard's own session; return what is to be taken now, in this order."""
        match self.phase:
            case Phase.RESUMING if name == "RESUMED":
                self.phase = Phase.ALONE
            case Phase.BORROWING if name == "READY":
                self.phase = Phase.HOLDING
            case Phase.CHECKING:
                return [Own(event, self._is_known(name, payload))]
            case _:
                pass
        if self.phase is not Phase.HOLDING:
            return [Own(event)]
        self._held.append((name, payload, event))
        self._held_bytes += len(encode(payload))
        return self.ended() if len(self._held) >= MAX_EVENTS or self._held_bytes >= MAX_BYTES else []

    def ended(self) -> list[Own[Event]]:
        """The predecessor has passed its last event on, or is gone; return what is to be taken now."""
        if self.phase is Phase.BORROWING:
            self.phase = Phase.ALONE
        if self.phase is not Phase.HOLDING:
            return []
        self.phase = Phase.CHECKING
        held, self._held = self._held, []
        return [Own(event, self._is_known(name, payload)) for name, payload, event in held]

    def checked(self) -> None:
        """What the predecessor was quicker with has come by now."""
        self.phase = Phase.ALONE
        self._handed.clear()

    def _is_known(self, name: str, payload: Any) -> bool:  # noqa: ANN401
        key = key_of(name, payload)
        if not self._handed[key]:
            return False
        self._handed[key] -= 1
        return True
