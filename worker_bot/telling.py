"""Tells the supervisor, a batch at a time and until it is safe; what is not by the end is left to the next worker."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from worker_bot.regular import read_regular

AGAIN_S: Final = 10.0
"""A batch that is not answered for so long is told again."""

Row = TypeVar("Row")
Left = TypeVar("Left")
MAX_LEFT_BYTES = 64 * 1024 * 1024
"""Of what a worker has left to the next: more than it ever writes."""

log = logging.getLogger("flotilla.telling")


@dataclass(slots=True)
class _Batch:
    number: int
    told_at: float
    count: int
    lost: int


class Telling(Generic[Row]):
    """Rows of one kind on their way to the supervisor, one batch of them at a time.

    kind: type of the rows. send: tells a batch (its number, its rows, how many were lost before); False: the supervisor
    is away. left: file for what the next worker shall tell, None: there is none. What a worker before left is told
    first. at_once: rows of a batch. most: kept at once; beyond it the oldest are lost. clock: monotonic seconds.
    """

    def __init__(
        self,
        kind: type[Row],
        send: Callable[[int, tuple[Row, ...], int], bool],
        left: Path | None,
        *,
        at_once: int,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder: msgspec.msgpack.Decoder[list[Row]] = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]
        self._send, self._left, self._clock = send, left, clock
        self._at_once, self._most = at_once, most
        self._kept: deque[Row] = deque(self._found())
        self._lost = 0
        self._numbers = int.from_bytes(os.urandom(6))
        self._batch: _Batch | None = None

    def keep(self, row: Row) -> None:
        """Take a row; `tell` tells it."""
        self._kept.append(row)
        # Of those that a batch under way has, none may go: it is by their number that they are taken out.
        if len(self._kept) > self._most:
            del self._kept[0 if self._batch is None else self._batch.count]
            self._lost += 1

    def tell(self) -> None:
        """Tell what is due. Call it about once a second."""
        now = self._clock()
        if not self._kept or (self._batch is not None and now - self._batch.told_at < AGAIN_S):
            return
        if self._batch is None:
            self._numbers += 1
            self._batch = _Batch(self._numbers, now, min(self._at_once, len(self._kept)), self._lost)
            self._lost = 0
        batch = self._batch
        rows = tuple(self._kept[index] for index in range(batch.count))
        batch.told_at = now if self._send(batch.number, rows, batch.lost) else now - AGAIN_S

    def stored(self, number: int) -> None:
        """The supervisor says that a batch is safe."""
        if self._batch is None or self._batch.number != number:
            return
        for _ in range(self._batch.count):
            self._kept.popleft()
        self._batch = None
        if not self._kept:
            self._forget_left()
        else:
            self.tell()

    def leave(self) -> None:
        """Tell what can be told, and leave all that is not safe yet to the next worker, which tells it again."""
        if self._batch is not None:
            self._batch.told_at = self._clock() - AGAIN_S
        self.tell()
        if self._left is None or not self._kept:
            return
        try:
            write_private(self._left, msgspec.msgpack.encode(list(self._kept)))
        except OSError as fault:
            log.warning("%s of %s may be lost: %s", len(self._kept), self._left.name, fault)

    def _found(self) -> list[Row]:
        return (read_left(self._left, self._decoder) or [])[-self._most :]

    def _forget_left(self) -> None:
        if self._left is not None:
            try:
                self._left.unlink(missing_ok=True)
            except OSError as fault:
                log.debug("%s stays: %s", self._left, fault)


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, so that a crash leaves the old one or the new one, whole. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.replace(path)


def read_left(path: Path | None, decoder: "msgspec.msgpack.Decoder[Left]") -> "Left | None":
    """Return what a file holds; None if there is none, or it cannot be read."""
    if path is None:
        return None
    try:
        return decoder.decode(read_regular(path, MAX_LEFT_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        log.warning("%s of the worker before cannot be read: %s", path.name, fault)
        return None
