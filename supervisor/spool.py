"""Command logs on this host's disk, while the database is away: a file of frames that is written at its end.

A frame is as in `flotilla.protocol`. One that cannot be read is set aside in a file beside it, for people to look at.
"""

import os
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from flotilla.domain.command_logs import CommandLog

Row = tuple[str, CommandLog]
BAD_BYTES = 1024 * 1024
"""Of the file with what cannot be read; what comes after that is only counted."""

_LENGTH_BYTES = 4
_rows = msgspec.msgpack.Decoder(list[Row])
log = structlog.get_logger()


class Spool:
    """First in, first out. Not for several threads at once. max_bytes: beyond it nothing is taken."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._bad_path = path.with_name(path.name + ".bad")
        self._max_bytes = max_bytes
        self._read_to = 0
        self._peeked_to = 0
        self._bad_to = 0  # up to there, what is bad has been set aside
        self._bytes = self._whole_bytes()

    def is_empty(self) -> bool:
        """Return whether there is nothing to read."""
        return self._read_to >= self._bytes

    def add(self, rows: list[Row]) -> bool:
        """Write rows down for good; return False if there is no room, or the disk refuses."""
        body = msgspec.msgpack.encode(rows)
        frame = len(body).to_bytes(_LENGTH_BYTES, "big") + body
        if self._bytes + len(frame) > self._max_bytes:
            return False
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size < self._bytes:
                    self._lost()  # the file was removed or cut: what is added now is its beginning
                # At the end of what is known to be whole: an attempt before may have failed in the middle.
                os.pwrite(descriptor, frame, self._bytes)
                os.ftruncate(descriptor, self._bytes + len(frame))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            log.warning("spool.not_written", path=str(self._path), error=str(fault))
            return False
        self._bytes += len(frame)
        return True

    def peek(self, count: int) -> list[Row]:
        """Return the oldest rows, about `count`, at least one frame of them; `drop` removes just these.

        Frames that cannot be read are set aside. None are there if the file was removed: what lay in it is lost, and it
        is begun anew.
        """
        rows: list[Row] = []
        bad: list[bytes] = []
        at = self._read_to
        try:
            with self._path.open("rb") as file:
                self._shorten(os.fstat(file.fileno()).st_size)
                file.seek(at)
                while len(rows) < count and at < self._bytes:
                    frame = _frame(file, self._bytes - at)
                    found = _decoded(frame)
                    if found is None and at >= self._bad_to:
                        bad.append(frame)
                    rows += found or []
                    at = at + len(frame) if found is not None or _is_whole(frame) else self._bytes
        except FileNotFoundError:
            self._lost()
            return []
        except OSError as fault:
            log.warning("spool.not_read", path=str(self._path), error=str(fault))
            self._peeked_to = self._read_to
            return []
        self._peeked_to = at
        self._set_aside(bad)
        self._bad_to = max(self._bad_to, at)
        return rows

    def _lost(self) -> None:
        log.error("spool.lost", path=str(self._path), bytes=self._bytes - self._read_to)
        self._begin_anew()

    def _shorten(self, size: int) -> None:
        """Take note that somebody has cut the file, if so."""
        end = max(size, self._read_to)
        if end < self._bytes:
            log.error("spool.lost", path=str(self._path), bytes=self._bytes - end)
            self._bytes = end

    def _begin_anew(self) -> None:
        self._read_to = self._peeked_to = self._bad_to = self._bytes = 0

    def drop(self) -> None:
        """Remove what was peeked at. A crash before this brings it again, and storing is idempotent."""
        self._read_to = self._peeked_to
        if self.is_empty():
            try:
                self._path.unlink(missing_ok=True)
            except OSError as fault:  # it is written over
                log.warning("spool.not_removed", path=str(self._path), error=str(fault))
            self._begin_anew()

    def _set_aside(self, bad: list[bytes]) -> None:
        """Keep what cannot be read in a file of its own, as far as that has room."""
        if not bad:
            return
        raw = b"".join(bad)
        kept = 0
        try:
            descriptor = os.open(self._bad_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                kept = os.write(descriptor, raw[: max(0, BAD_BYTES - os.fstat(descriptor).st_size)])
            finally:
                os.close(descriptor)
        except OSError as fault:
            log.warning("spool.not_set_aside", path=str(self._bad_path), error=str(fault))
        log.error("spool.set_aside", path=str(self._bad_path), frames=len(bad), bytes=len(raw), kept_bytes=kept)

    def _whole_bytes(self) -> int:
        """Return how much of the file is whole frames. What follows, which a crash has cut, is set aside."""
        whole = 0
        try:
            with self._path.open("rb") as file:
                end = os.fstat(file.fileno()).st_size
                while whole < end:
                    frame = _frame(file, end - whole)
                    if not _is_whole(frame):
                        self._set_aside([frame])
                        break
                    whole += len(frame)
        except FileNotFoundError:
            return 0
        except OSError as fault:
            log.warning("spool.not_read", path=str(self._path), error=str(fault))
        return whole


def _frame(file: BinaryIO, limit: int) -> bytes:
    """Return the next frame with its length; all that is left, at most `limit` bytes, if that is none."""
    head = file.read(min(_LENGTH_BYTES, limit))
    size = int.from_bytes(head, "big")
    left = limit - len(head)
    return head + file.read(size if 0 < size <= left else left)


def _is_whole(frame: bytes) -> bool:
    return len(frame) > _LENGTH_BYTES and len(frame) - _LENGTH_BYTES == int.from_bytes(frame[:_LENGTH_BYTES], "big")


def _decoded(frame: bytes) -> list[Row] | None:
    """Return the rows of a frame, None if it is none that can be read."""
    if not _is_whole(frame):
        return None
    try:
        return _rows.decode(frame[_LENGTH_BYTES:])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
