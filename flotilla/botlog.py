"""The logs of bots as files: where they lie, how their end is read, and what marks are put into them.

`NAME.log` is written by the worker, its C code and its child processes; `NAME.log.1` to `NAME.log.3` are older parts,
the oldest last. What bots print is theirs, so everything that is shown of it goes through `clean` first.
"""

import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flotilla.redaction import redact_text

OLD_FILES = 3
TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}(?:[+-]\d\d:\d\d)?")
END_OF_TASKS = "flotilla: end of the tasks"
"""The last line that a worker writes when it was asked for its stacks."""


def log_file(folder: Path, name: str) -> Path:
    """Return where the bot called `name` writes. folder: `Settings.log_dir`."""
    return folder / "bots" / f"{name}.log"


def old_file(path: Path, number: int) -> Path:
    """Return an older part of the log at `path`; 1 is the newest."""
    return path.with_name(f"{path.name}.{number}")


def parts(path: Path) -> list[Path]:
    """Return the files of a log that may be there, oldest first."""
    return [*(old_file(path, number) for number in range(OLD_FILES, 0, -1)), path]


def stamp(at_s: float) -> str:
    """Return a moment (POSIX seconds) as lines of workers begin with it: local time, and how far that is from UTC.

    Whoever reads it may live in another time zone, and a local time comes twice when summer ends.
    """
    local = time.localtime(at_s)
    sign, minutes = "-" if local.tm_gmtoff < 0 else "+", abs(local.tm_gmtoff) // 60
    shown = time.strftime("%Y-%m-%d %H:%M:%S", local)
    return f"{shown},{int(at_s % 1 * 1000):03d}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


@dataclass(frozen=True, slots=True)
class Stamped:
    """The time that a line begins with, in POSIX seconds. exact: it says how far from UTC it is.

    Otherwise it was written by an earlier release, or by the bot itself, and is taken for local time here; where that
    comes twice, `at_s` is the first and `again_s` the second.
    """

    at_s: float
    again_s: float
    exact: bool


def stamped(line: bytes) -> Stamped | None:
    """Return the time that a line begins with, None if it begins with none."""
    match = _STAMP.match(line)
    if match is None:
        return None
    try:
        found = datetime.fromisoformat(match[0].decode())
        return Stamped(found.timestamp(), found.replace(fold=1).timestamp(), found.tzinfo is not None)
    except (ValueError, OverflowError, OSError):
        return None  # a day that there never was


def clean(raw: bytes) -> str:
    """Return bytes out of a log as text without secrets, and without NUL, which PostgreSQL refuses."""
    return redact_text(raw.decode(errors="replace").replace("\0", "\ufffd"))


def size_of(path: Path) -> int:
    """Return a log's size in bytes, 0 if it is not there or cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_range(path: Path, start: int, end: int | None, limit: int) -> bytes:
    """Return the last `limit` bytes of [start, end) of a log; b"" if it cannot be read. end None: its end now.

    A log that is shorter than `start` was cut meanwhile and is read from its beginning.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            begin = max(0 if start > size else start, stop - limit)
            file.seek(begin)
            return file.read(max(0, stop - begin))
    except OSError:
        return b""


def tail(path: Path, end: int | None = None, lines: int = TAIL_LINES) -> str:
    """Return the last lines before byte `end`, at most TAIL_BYTES of them, cleaned. Blocks on the disk."""
    raw = read_range(path, 0, end, TAIL_BYTES)
    if len(raw) < TAIL_BYTES // 4 and not (raw and raw.count(b"\n") > lines):
        # Just cut: the lines before are in the newest old part.
        raw = read_range(old_file(path, 1), 0, None, TAIL_BYTES) + raw
    whole = raw.splitlines()[-lines:]
    return clean(b"\n".join(whole))


def mark(path: Path, text: str, at_s: float) -> bool:
    """Append a line of ours to a log that is there; return whether that was possible. at_s: POSIX seconds, now."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, f"{stamp(at_s)} INFO {text}\n".encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
