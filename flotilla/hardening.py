"""What is asked of the kernel: that memory with tokens reaches no disk and no other user, that orphans come home."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def forbid_core_dumps() -> None:
    """No core dump, no ptrace by the same user, no new privileges. Does nothing where the kernel is not Linux."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # A core_pattern that pipes ignores RLIMIT_CORE; only this flag stops it.
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, also after an execve (prctl(2), PR_SET_CHILD_SUBREAPER).

    Workers outlive their fork server; in a container without an init nobody else would reap them. Does nothing where
    the kernel is not Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
