"""Reads the logs of bots as files that are cut and replaced while they are read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flotilla.botlog import old_file, parts

MAX_LINE_BYTES = 64 * 1024
MAX_STEP_BYTES = 1024 * 1024
"""Of what was written between two looks no more is shown: nobody can read a flood."""

_STAMP = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}")
_DROPPED = b" WARNING flotilla: "


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end.

    at: its time as `flotilla.botlog.stamp` writes it, so that times are ordered as text is; that of the last line
    before it which has one, b"" if there is none.
    """

    at: bytes
    raw: bytes


def last_lines(path: Path, count: int | None, since: bytes | None, *, whole: bool = False) -> tuple[list[Line], int]:
    """Return the last `count` lines written since the time `since`, and the byte of the log they end at.

    A line without a time of its own, as bots print them, has that of the line before. None: no such limit.
    The end is that of the last whole line. whole: leave out what comes after it, which may be only half written.
    """
    found: list[Line] = []
    end = 0
    for part in reversed(parts(path)):
        try:
            raw = part.read_bytes()
        except OSError:
            continue
        if part == path:
            end = raw.rfind(b"\n") + 1
            raw = raw[:end] if whole else raw
        lines = list(dated(raw.removesuffix(b"\n").split(b"\n"))) if raw else []
        found = lines + _redated(found, lines)
        enough = count is not None and len(found) >= count
        if (since is None and enough) or (since is not None and lines and b"" < lines[0].at < since):
            break
    if since is not None:
        found = [line for line in found if line.at >= since]
    return (found if count is None else found[max(0, len(found) - count) :]), end


def dated(lines: list[bytes], before: bytes = b"") -> Iterator[Line]:
    """Yield lines with their times; `before` is that of the line before the first."""
    for raw in lines:
        match = _STAMP.match(raw)
        before = match[0] if match else before
        yield Line(before, raw)


def _redated(later: list[Line], earlier: list[Line]) -> list[Line]:
    """Give lines at the head of a part, which have no time of their own, that of the part before."""
    if not earlier or not later or later[0].at:
        return later
    return [Line(earlier[-1].at, line.raw) if not line.at else line for line in later]


class Follower:
    """Hands out the lines that are written after byte `start`, whatever happens to the file meanwhile.

    A log that is cut has its older lines in `NAME.log.1`; one that is replaced is opened anew.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._position = start
        self._file: BinaryIO | None = None
        self._older = _identity(old_file(path, 1))
        self._partial = b""
        self._open()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self) -> list[bytes]:
        """Return the whole lines written since the last call."""
        raw = self._partial + b"".join(self._pieces())
        head, newline, self._partial = raw.rpartition(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            head, newline, self._partial = raw, b"\n", b""
        return head.split(b"\n") if newline else []

    def _pieces(self) -> Iterator[bytes]:
        if self._replaced():
            yield self._rest()
            self.close()
            self._position = 0
        if self._file is None and not self._open():
            return
        older = _identity(old_file(self._path, 1))
        if older != self._older:
            self._older = older
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
