"""Command logs on this host's disk, while the database is away: a file of frames that is written at its end.

A frame is as in `flotilla.protocol`. One that a crash has cut, and what follows it, is dropped when the file is opened.
"""

import os
from pathlib import Path

import msgspec
import structlog

from flotilla.domain.command_logs import CommandLog

Row = tuple[str, CommandLog]
_LENGTH_BYTES = 4
_rows = msgspec.msgpack.Decoder(list[Row])
log = structlog.get_logger()


class Spool:
    """First in, first out. Not for several threads at once. max_bytes: beyond it nothing is taken."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._read_to = 0
        self._peeked_to = 0
        self._bytes = self._mend()

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

        None are there if the file was removed or damaged: what lay in it is lost, and it is begun anew.
        """
        rows: list[Row] = []
        self._peeked_to = self._read_to
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                while len(rows) < count and self._peeked_to < self._bytes:
                    size = int.from_bytes(file.read(_LENGTH_BYTES), "big")
                    rows += _rows.decode(file.read(size))
                    self._peeked_to += _LENGTH_BYTES + size
        except (FileNotFoundError, msgspec.MsgspecError):
            self._lost()
            return []
        except OSError as fault:
            log.warning("spool.not_read", path=str(self._path), error=str(fault))
            self._peeked_to = self._read_to
            return []
        return rows

    def _lost(self) -> None:
        log.error("spool.lost", path=str(self._path), bytes=self._bytes - self._read_to)
        self._read_to = self._peeked_to = self._bytes = 0

    def drop(self) -> None:
        """Remove what was peeked at. A crash before this brings it again, and storing is idempotent."""
        self._read_to = self._peeked_to
        if self.is_empty():
            try:
                self._path.unlink(missing_ok=True)
            except OSError as fault:  # it is written over
                log.warning("spool.not_removed", path=str(self._path), error=str(fault))
            self._read_to = self._peeked_to = self._bytes = 0

    def _mend(self) -> int:
        """Return how many bytes of the file are whole frames."""
        whole = 0
        try:
            with self._path.open("rb") as file:
                end = os.fstat(file.fileno()).st_size
                while whole + _LENGTH_BYTES <= end:
                    size = int.from_bytes(file.read(_LENGTH_BYTES), "big")
                    body = file.read(min(size, end))
                    if len(body) < size:
                        break
                    _rows.decode(body)
                    whole += _LENGTH_BYTES + size
        except FileNotFoundError:
            return 0
        except (OSError, msgspec.MsgspecError) as fault:
            log.warning("spool.damaged", path=str(self._path), kept_bytes=whole, error=str(fault))
        return whole
