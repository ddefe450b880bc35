"""The logs of bots as files: where they lie, how their end is read, and what marks are put into them.

`NAME.log` is written by the worker, its C code and its child processes; `NAME.log.1` to `NAME.log.3` are older parts,
the oldest last. What bots print is theirs, so everything that is shown of it goes through `clean` first.
"""

import os
from datetime import datetime
from pathlib import Path

from flotilla.redaction import redact_text

OLD_FILES = 3
TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
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


def stamp(now: datetime) -> str:
    """Return a moment as lines of workers begin with it: local time, as `logging` writes it."""
    return f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"


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


def mark(path: Path, text: str, now: datetime) -> bool:
    """Append a line of ours to a log that is there; return whether that was possible."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, f"{stamp(now)} INFO {text}\n".encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
