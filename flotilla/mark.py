"""The mark of a home: every process of an installation carries it, whatever it calls itself and whoever its parent is.

The mark is the soft limit of file sizes (RLIMIT_FSIZE), set to a number that no file reaches. The kernel hands it to
every child, through fork, exec, setsid and a change of user; whoever may see a process may read it; a name, a title or
an emptied environment does not touch it. A process can only take it from itself, never put it on another.
Standard library only, since the supervisor wears it before anything else is imported.
"""

import contextlib
import os
import resource
import zlib
from pathlib import Path

_BASE_BYTES = 1 << 62
"""Far above every file system's largest file, and below RLIM_INFINITY."""

_LIMIT = b"\nMax file size "


def mark_of(home: Path) -> int:
    """Return the mark of a home, in bytes of a file's size. Two homes of one host share none, but for 1 in 2**60."""
    name = os.fsencode(os.path.realpath(home))
    return _BASE_BYTES | zlib.crc32(name) << 28 | zlib.crc32(name[::-1]) >> 4


def wear_mark(home: Path) -> None:
    """Let this process, and all that it starts from now on, carry the mark of `home`.

    A limit of an operator's own stays as it is; then the processes are found by their parents and records alone.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY or soft >= _BASE_BYTES:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (mark_of(home), hard))


def worn_mark(pid: int) -> int | None:
    """Return the mark that a process carries, of whatever home; None without one, or if it is gone.

    Source: proc(5), /proc/PID/limits, which every user may read.
    """
    try:
        limits = Path(f"/proc/{pid}/limits").read_bytes()
        soft = limits.partition(_LIMIT)[2].split(maxsplit=1)[0]
    except (OSError, IndexError):
        return None
    return int(soft) if soft.isdigit() and int(soft) >= _BASE_BYTES else None
