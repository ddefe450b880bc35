"""What is asked of the kernel: tokens reach no disk and no other user, orphans come home, workers keep their share."""

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 8, 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522
"""Sources: linux/prctl.h, linux/capability.h."""
_PAGE_BYTES = resource.getpagesize()
_READ_BYTES = 4096
_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """What every process of ours does first: its files are its user's alone, and so is its memory.

    A worker does so again when it has changed its user.
    """
    os.umask(0o077)
    forbid_core_dumps()


def forbid_core_dumps() -> None:
    """No core dump, no ptrace by the same user, no new privileges. Does nothing where the kernel is not Linux.

    A change of user undoes the second, so it comes before.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A core_pattern that pipes ignores RLIMIT_CORE; only this flag stops it.
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, also after an execve (prctl(2), PR_SET_CHILD_SUBREAPER).

    Workers outlive their fork server; in a container without an init nobody else would reap them. Does nothing where
    the kernel is not Linux.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with(parent: int) -> None:
    """Let the kernel kill this process as soon as `parent`, which has started it, is gone; end now if it already is."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(0)


def limit_for_good(kind: int, wanted: int) -> None:
    """Set a limit of this process (`resource.RLIMIT_…`) so that it cannot be raised again; a lower one stays."""
    hard = resource.getrlimit(kind)[1]
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (allowed, allowed))


def limit_growth(growth_bytes: int) -> None:
    """Let this process take so many bytes of private memory beyond what it has now; more is a MemoryError.

    RLIMIT_DATA counts private writable mappings, touched or not (getrlimit(2); since Linux 4.7). Only the soft limit is
    set, so that it can be moved: it holds a leak, not an enemy.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (own_memory().mapped_bytes + max(0, growth_bytes), hard))


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """What this process has. resident_bytes: with what it shares. mapped_bytes: private and writable, used or not."""

    resident_bytes: int
    mapped_bytes: int


def own_memory() -> OwnMemory:
    """Return what this process has now, in microseconds. Source: proc(5), /proc/PID/statm, fields 2 and 6."""
    pages = _read("/proc/self/statm").split()
    return OwnMemory(int(pages[1]) * _PAGE_BYTES, int(pages[5]) * _PAGE_BYTES)


def own_private_bytes() -> int:
    """Return what this process shares with no other, in about a millisecond. Source: proc(5), smaps_rollup."""
    lines = _read("/proc/self/smaps_rollup").splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_"))


def _read(path: str) -> bytes:
    """Return what the kernel tells in a page at most, with nothing in between."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


def become_user(uid: int, extra_gid: int, *, searches: bool = False) -> None:
    """Be this user, in the group of the same number and in `extra_gid`, for good. Raises OSError without root.

    All capabilities go with the old user (capabilities(7), "Effect of user ID changes on capabilities"). searches: but
    for the one to enter folders and read files whatever their modes, for it and what it starts.
    """
    os.setgroups([extra_gid])
    os.setresgid(uid, uid, uid)
    if searches:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    if searches:
        _hold_capabilities(1 << _CAP_DAC_READ_SEARCH)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)


def drop_capabilities() -> None:
    """Give up every right of root, also for what this process starts, and stay its user. Raises OSError.

    Of another user than root it changes nothing.
    """
    number = 0
    while _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:  # until the kernel knows no more
        _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # what may not be dropped is not held either
        number += 1
    _hold_capabilities(0)


def _hold_capabilities(held: int) -> None:
    """Have these capabilities, as effective, permitted and inheritable, and no other (capset(2))."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low, high = held & 0xFFFFFFFF, held >> 32
    if _libc.capset(header, (ctypes.c_uint32 * 6)(low, low, low, high, high, high)) != 0:
        _fail()


def _prctl(option: int, *arguments: int) -> None:
    if _libc.prctl(option, *arguments, *(0,) * (4 - len(arguments))) != 0:
        _fail()


def _fail() -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
