"""Ids of rows: ULIDs, which sort by their time and, within a millisecond, by when they were made.

python-ulid promises the second for "now" alone: an id that it makes for another time in between undoes it.
"""

import itertools
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ulid import ULID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_TAIL_BYTES = 10


class _Tails:
    """What follows the time: random where a process begins, then the next number, whatever times ids are made for."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin somewhere in the lower half, so that there are always more to come."""
        self._numbers: Iterator[int] = itertools.count(secrets.randbits(8 * _TAIL_BYTES - 1))

    def next(self) -> bytes:
        """Return a tail that is greater than all before it, in whatever thread they were made."""
        return next(self._numbers).to_bytes(_TAIL_BYTES)


_tails = _Tails()
os.register_at_fork(after_in_child=_tails.begin)  # or the workers of one fork server would make the same ids


def new_id(at: datetime | None = None) -> str:
    """Return a new id of `at` (aware; now if None).

    Of two ids that a process makes, that of the later millisecond is the greater one; of one millisecond, the second.
    """
    return str(ULID(_milliseconds(at or datetime.now(UTC)) + _tails.next()))


def first_id(at: datetime) -> str:
    """Return the least id that a row of the millisecond of `at` (aware) can have: a bound, never the id of a row."""
    return str(ULID(_milliseconds(at) + bytes(_TAIL_BYTES)))


def _milliseconds(at: datetime) -> bytes:
    return max(0, (at - _EPOCH) // _MS).to_bytes(6)
