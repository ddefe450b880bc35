"""The book of faults: which are asked for, when each strikes, and whom. Pure: the clock and the seed are handed in.

Chance is a function of (seed, wave, application, occasion), not of the order of events between applications: the same
seed strikes the same bots again, however their connections and requests interleave.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from sandbox import limits
from sandbox.faults.kinds import Act, Fault

F = TypeVar("F", bound=Fault)
_NEVER = float("inf")


class State(StrEnum):
    """Where a fault is in its life."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    OVER = "over"


class Moment(StrEnum):
    """What a fault's time has come for."""

    STRIKE = "strike"
    END = "end"


@dataclass(slots=True, eq=False)
class Entry:
    """A fault in the book. Times are Unix seconds; `next_at` is its next strike, `struck` how often it hit."""

    id: int
    fault: Fault
    seed: int
    starts_at: float
    ends_at: float
    next_at: float
    waves: int = 0
    struck: int = 0
    over: bool = False
    _occasions: dict[str | None, int] = field(default_factory=dict)

    def state(self, now: float) -> State:
        """Return where the fault is in its life at `now`."""
        if self.over or now >= self.ends_at:
            return State.OVER
        return State.ACTIVE if now >= self.starts_at else State.SCHEDULED

    def hits(self, application_id: str | None, nth: int) -> bool:
        """Return whether chance lets the present wave strike the application's nth connection, and count it."""
        return self._drawn("wave", self.waves, application_id, nth)

    def hits_next(self, application_id: str | None) -> bool:
        """Return whether chance lets the fault strike the application's next occasion, and count it."""
        occasion = self.occasions(application_id)
        self._occasions[application_id] = occasion + 1
        if len(self._occasions) > limits.OCCASIONS_KEPT:
            del self._occasions[next(iter(self._occasions))]
        return self._drawn("occasion", application_id, occasion)

    def occasions(self, application_id: str | None) -> int:
        """Return how many occasions of an application drew so far."""
        return self._occasions.get(application_id, 0)

    def _drawn(self, *key: object) -> bool:
        drawn = draw(self.seed, *key) < self.fault.probability
        self.struck += drawn
        return drawn

    def due_at(self) -> float:
        """Return when the fault next strikes or ends."""
        return _NEVER if self.over else min(self.next_at, self.ends_at)


class FaultBook:
    """The faults asked for, by id."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._last_id = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def find(self, fault_id: int) -> Entry | None:
        """Return a fault that is scheduled, active or over not long ago."""
        return self._entries.get(fault_id)

    def add(self, fault: Fault, seed: int, now: float) -> Entry:
        """Write a fault into the book; `seed` is used unless the fault brings its own."""
        self._last_id += 1
        starts_at = now + fault.after_s
        ends_at = _NEVER if fault.for_s is None else starts_at + fault.for_s
        seed = seed if fault.seed is None else fault.seed
        entry = self._entries[self._last_id] = Entry(self._last_id, fault, seed, starts_at, ends_at, starts_at)
        over = [old.id for old in self if old.over]
        for old_id in over[: -limits.FAULTS_KEPT]:
            del self._entries[old_id]
        return entry

    def remove(self, fault_id: int) -> Entry | None:
        """Take a fault out of the book and return it, with whatever it left behind for the caller to mend."""
        return self._entries.pop(fault_id, None)

    def due_at(self) -> float:
        """Return when `advance` has something to do next, in Unix seconds; infinity if never."""
        return min((entry.due_at() for entry in self._entries.values()), default=_NEVER)

    def advance(self, now: float) -> Iterator[tuple[Entry, Moment]]:
        """Yield what is due up to `now`, in order of time. Each strike is one wave.

        Waves that were missed, because nobody advanced in time, are not made up for: one strikes in their place.
        """
        while due := [entry for entry in self._entries.values() if entry.due_at() <= now]:
            entry = min(due, key=lambda entry: (entry.due_at(), entry.id))
            if entry.ends_at <= entry.next_at:
                entry.over = True
                yield entry, Moment.END
                continue
            every_s = entry.fault.every_s if isinstance(entry.fault, Act) else None
            entry.next_at = _NEVER if every_s is None else _next_wave(entry.next_at, every_s, now)
            yield entry, Moment.STRIKE
            entry.waves += 1
            entry.over = entry.over or (every_s is None and not entry.fault.leaves_mark)

    def standing(self, kind: type[F], application_id: str | None, now: float) -> Iterator[tuple[Entry, F]]:
        """Yield the active faults of a kind that concern an application, in the order in which they were asked for."""
        for entry in self._entries.values():
            fault = entry.fault
            if isinstance(fault, kind) and entry.state(now) is State.ACTIVE and fault.concerns(application_id):
                yield entry, fault

    def holds(self, kind: type[Fault]) -> bool:
        """Return whether a fault of a kind is in the book that is not over."""
        return any(isinstance(entry.fault, kind) and not entry.over for entry in self._entries.values())


def draw(seed: int, *key: object) -> float:
    """Return a number in [0, 1) that depends on nothing but the seed and the key."""
    digest = hashlib.blake2b(":".join(map(str, (seed, *key))).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def _next_wave(last_at: float, every_s: float, now: float) -> float:
    missed = max(0, int((now - last_at) / every_s))
    return last_at + every_s * (missed + 1)
