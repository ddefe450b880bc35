"""Reads the logs of bots as files that are cut and replaced while they are read."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flotilla.botlog import old_file, parts, stamped

MAX_LINE_BYTES = 64 * 1024
MAX_STEP_BYTES = 1024 * 1024
"""Of what was written between two looks no more is shown: nobody can read a flood."""

LINGER_S = 5.0
"""So long a file that was moved away is read on: its worker notices within a heartbeat."""

NEVER = float("-inf")
_DROPPED = b" WARNING flotilla: "


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end.

    at: its time in POSIX seconds; that of the last line before it which has one, `NEVER` if there is none.
    """

    at: float
    raw: bytes


def last_lines(
    path: Path, count: int | None, since: float | None, until: float | None = None, *, whole: bool = False
) -> tuple[list[Line], int]:
    """Return the last `count` lines written from `since` to `until` (POSIX seconds), and the byte of the log's end.

    A line without a time of its own, as bots print them, has that of the line before. None: no such limit.
    The end is that of the last whole line. whole: leave out what comes after it, which may be only half written.
    """
    found: list[Line] = []
    end = 0
    for part in reversed(parts(path)):
        try:
            raw, newest = part.read_bytes(), part.stat().st_mtime
        except OSError:
            continue
        if part == path:
            end = raw.rfind(b"\n") + 1
            raw = raw[:end] if whole else raw
        lines = list(dated(raw.removesuffix(b"\n").split(b"\n"), newest)) if raw else []
        found = lines + _redated(found, lines)
        enough = count is not None and len(found) >= count
        is_older = since is not None and bool(lines) and NEVER < lines[0].at < since
        if is_older or (since is None and until is None and enough):
            break
    if since is not None:
        found = [line for line in found if line.at >= since]
    if until is not None:
        found = [line for line in found if line.at <= until]
    return (found if count is None else found[max(0, len(found) - count) :]), end


def dated(lines: list[bytes], newest: float) -> Iterator[Line]:
    """Yield lines with their times. newest: when the last of them was written, at the latest.

    A time that does not say how far from UTC it is was written by an earlier release, or by the bot. It is believed
    as far as it lies between the line before and `newest`.
    """
    before = NEVER
    for raw in lines:
        found = stamped(raw)
        if found is not None and found.exact:
            before = found.at_s
        elif found is not None:
            at = found.again_s if found.at_s < before <= found.again_s <= newest else found.at_s
            before = max(before, min(at, newest))
        yield Line(before, raw)


def _redated(later: list[Line], earlier: list[Line]) -> list[Line]:
    """Give lines at the head of a part, which have no time of their own, that of the part before."""
    if not earlier or not later or later[0].at > NEVER:
        return later
    return [Line(earlier[-1].at, line.raw) if line.at == NEVER else line for line in later]


class Follower:
    """Hands out the lines that are written after byte `start`, whatever happens to the file meanwhile.

    A log that is cut has its older lines in `NAME.log.1`; one that is replaced is opened anew, and the one that was
    moved away is read on for `LINGER_S`.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._position = start
        self._file: BinaryIO | None = None
        self._older = _identity(old_file(path, 1))
        self._partial = b""
        self._moved: Follower | None = None
        self._moved_until = 0.0
        self._moved_inode = -1
        self._open()

    def close(self) -> None:
        """Let go of the files."""
        if self._moved is not None:
            self._moved.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self) -> list[bytes]:
        """Return the whole lines written since the last call."""
        if self._replaced():
            self._let_move()
        last_words = self._moved.read_on() if self._moved is not None else []
        if self._moved is not None and time.monotonic() > self._moved_until:
            self._moved.close()
            self._moved = None
        return [*last_words, *self._lines(self._pieces())]

    def read_on(self) -> list[bytes]:
        """Return the whole lines written since the last call to the file that is open, wherever it lies now."""
        return self._lines([self._rest()])

    def _lines(self, pieces: Iterable[bytes]) -> list[bytes]:
        raw = self._partial + b"".join(pieces)
        head, newline, self._partial = raw.rpartition(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            head, newline, self._partial = raw, b"\n", b""
        return head.split(b"\n") if newline else []

    def _let_move(self) -> None:
        """Go on with the file that lies there now, from its beginning."""
        if self._moved is not None:
            self._moved.close()
        moved = Follower(self._path, 0)
        moved._file, self._file = self._file, moved._file
        moved._position, moved._partial = self._position, self._partial
        self._moved, self._moved_until = moved, time.monotonic() + LINGER_S
        self._position, self._partial = 0, b""
        if moved._file is not None:
            self._moved_inode = os.fstat(moved._file.fileno()).st_ino
        self._older = _identity(old_file(self._path, 1))

    def _pieces(self) -> Iterator[bytes]:
        if self._file is None and not self._open():
            return
        older = _identity(old_file(self._path, 1))
        if older != self._older:
            self._older = older
            if older is None or older[0] != self._moved_inode:  # that one has been read to its end
                yield self._cut_off()
        if self._size() < self._position:
            self._position = 0
        yield self._rest()

    def _cut_off(self) -> bytes:
        """Return what a rotation took away before it was read here."""
        try:
            with old_file(self._path, 1).open("rb") as file:
                if _DROPPED in file.readline(200):
                    file.seek(0)
                    return file.readline(1000)  # it says how much is missing, so places in it mean nothing
                file.seek(self._position)
                raw = file.read(MAX_STEP_BYTES)
                self._position = file.tell()
                return raw
        except OSError:
            return b""

    def _rest(self) -> bytes:
        if self._file is None:
            return b""
        skipped = max(0, self._size() - self._position - MAX_STEP_BYTES)
        self._file.seek(self._position + skipped)
        raw = self._file.read(MAX_STEP_BYTES)
        self._position = self._file.tell()
        return b"\n[%d bytes are not shown]\n%b" % (skipped, raw) if skipped else raw

    def _size(self) -> int:
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def _replaced(self) -> bool:
        if self._file is None:
            return False
        try:
            there, held = self._path.stat(), os.fstat(self._file.fileno())
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError:
            return False
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
