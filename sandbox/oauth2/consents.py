"""What users answer when an application asks for their authorization, written down beforehand by a test."""

from collections import deque
from dataclasses import dataclass

from sandbox import limits
from sandbox.world.users import User


@dataclass(frozen=True, slots=True)
class Consent:
    """One answer. `scopes` None grants what is asked for; otherwise only those of it that are named here."""

    user: User
    allow: bool
    scopes: tuple[str, ...] | None = None

    def granted(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        """Return the scopes that the user grants of those that are asked for."""
        return asked if self.scopes is None else tuple(scope for scope in asked if scope in self.scopes)


class Consents:
    """The answers that wait, in order, by application. Each answers one request."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Consent]] = {}

    def script(self, application_id: str, consent: Consent) -> int:
        """Add an answer behind those that wait; return how many wait now. The oldest go when there are too many."""
        waiting = self._waiting.setdefault(application_id, deque(maxlen=limits.CONSENTS_KEPT))
        waiting.append(consent)
        return len(waiting)

    def next(self, application_id: str) -> Consent | None:
        """Take the next answer, None if none is scripted."""
        waiting = self._waiting.get(application_id)
        if not waiting:
            return None
        return waiting.popleft()
