"""What a process that holds a token does first: nothing of its memory may reach a disk or another user."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def forbid_core_dumps() -> None:
    """No core dump, no ptrace by the same user, no new privileges. Does nothing where the kernel is not Linux."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # A core_pattern that pipes ignores RLIMIT_CORE; only this flag stops it.
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
