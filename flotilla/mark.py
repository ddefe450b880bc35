"""Marks in limits: every process of an installation carries its home's, and those of a bot its worker's as well.

The kernel hands limits to every child, through fork, exec, setsid and a change of user; whoever may see a process may
read them; a name, a title or an emptied environment does not touch them. No number here is one that limits anything.

A home's mark is the soft limit of file sizes (RLIMIT_FSIZE). A process can take it off, or put another number there.

A worker's mark is a pair of hard limits that Linux keeps and does not heed (RLIMIT_LOCKS, RLIMIT_RSS: getrlimit(2)).
One grows by as much as the other shrinks, and their sum is the home's. Without CAP_SYS_RESOURCE a hard limit can only
be lowered, so nobody makes one valid pair of a home out of another: a process can spoil its mark, which shows, and
that is all. Standard library only, since the supervisor wears its home's mark before anything else is imported.
"""

import contextlib
import os
import resource
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flotilla.processes import read_proc

_BASE_BYTES = 1 << 62
"""Far above every file system's largest file, and below RLIM_INFINITY."""

_RLIMIT_LOCKS = 10
"""Source: asm-generic/resource.h. Python has no name for it."""

_NUMBERS = 1 << 60
_SUM = 3 * _NUMBERS
_FILE_SIZE, _LOCKS, _RESIDENT_SET = b"\nMax file size ", b"\nMax file locks ", b"\nMax resident set "


@dataclass(frozen=True, slots=True)
class Worn:
    """What marks a process carries. home: as `mark_of` has it. worker: as `worker_number` has it, None: of none.

    spoiled: it had a worker's mark and has changed it, so it is some bot's.
    """

    home: int | None = None
    worker: int | None = None
    spoiled: bool = False


NO_MARK = Worn()


def mark_of(home: Path) -> int:
    """Return the mark of a home, in bytes of a file's size. Two homes of one host share none, but for 1 in 2**60."""
    name = os.fsencode(os.path.realpath(home))
    return _BASE_BYTES | zlib.crc32(name) << 28 | zlib.crc32(name[::-1]) >> 4


@lru_cache(maxsize=8192)
def worker_number(bot_id: str, generation: int) -> int:
    """Return the number of one incarnation of a bot, of 60 bits."""
    import hashlib  # noqa: PLC0415 - not before the fork server is started

    return int.from_bytes(hashlib.blake2b(f"{bot_id}.{generation}".encode(), digest_size=8).digest()) % _NUMBERS


def worker_mark(home: int, bot_id: str, generation: int) -> tuple[int, int]:
    """Return what one incarnation of a bot is to wear. home: as `mark_of` has it."""
    number = worker_number(bot_id, generation)
    return _NUMBERS + number, 2 * _NUMBERS + home % _NUMBERS - number


def wear_mark(home: Path) -> None:
    """Let this process, and all that it starts from now on, carry the mark of `home`.

    A limit of an operator's own stays as it is; then the processes are found by their parents and records alone.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY or soft >= _BASE_BYTES:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (mark_of(home), hard))


def can_wear_worker_mark() -> bool:
    """Return whether processes that this one starts can: an operator may have set the limits that it is made of."""
    return all(resource.getrlimit(kind)[1] == resource.RLIM_INFINITY for kind in (_RLIMIT_LOCKS, resource.RLIMIT_RSS))


def wear_worker_mark(mark: tuple[int, int]) -> None:
    """Let this process, and all that it starts from now on, carry a worker's mark. Raises OSError, ValueError."""
    for kind, number in zip((_RLIMIT_LOCKS, resource.RLIMIT_RSS), mark, strict=True):
        resource.setrlimit(kind, (number, number))


def worn_by(pid: int) -> Worn:
    """Return what marks a process carries, of whatever home; none if it is gone. Raises OSError.

    Source: proc(5), /proc/PID/limits, which every user may read.
    """
    return worn_in(read_proc(pid, "limits"))


def worn_in(limits: bytes) -> Worn:
    """Return the marks that stand in a process's limits, as /proc/PID/limits has them; none if that is empty."""
    locks, resident_set = _limit(limits, _LOCKS, 1), _limit(limits, _RESIDENT_SET, 1)
    if locks is None or resident_set is None:
        file_size = _limit(limits, _FILE_SIZE, 0)
        return NO_MARK if file_size is None or file_size < _BASE_BYTES else Worn(file_size)
    home = locks + resident_set - _SUM
    if not (_NUMBERS <= locks < 2 * _NUMBERS and 0 <= home < _NUMBERS):
        return Worn(spoiled=True)
    return Worn(_BASE_BYTES | home, locks - _NUMBERS)


def worn_mark(pid: int) -> int | None:
    """Return the mark of a home that a process carries, of whatever home; None without one, or if it is gone.

    Raises OSError.
    """
    return worn_by(pid).home


def _limit(limits: bytes, name: bytes, column: int) -> int | None:
    """Return a limit, None if it is none. column: 0 the soft one, 1 the hard one."""
    found = limits.partition(name)[2].split(maxsplit=2)[: column + 1]
    return int(found[column]) if len(found) > column and found[column].isdigit() else None
