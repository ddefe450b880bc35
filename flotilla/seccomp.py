"""One call of the kernel that Landlock does not know: limits of other processes of the same user (prlimit(2)).

RLIMIT_CPU of another process ends it, as a signal would. Only that call is judged, so all others stay as quick.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import Final

_NUMBERS: Final = {"x86_64": (0xC000003E, 317, 302), "aarch64": (0xC00000B7, 277, 261)}
"""AUDIT_ARCH, seccomp(2), prlimit64(2). Sources: linux/audit.h, syscall_64.tbl, asm-generic/unistd.h."""

_SET_MODE_FILTER: Final = 1
_SPEC_ALLOW: Final = 1 << 2
"""Without it some kernels would slow the whole process down (seccomp(2), SECCOMP_FILTER_FLAG_SPEC_ALLOW)."""

_NUMBER_AT, _ARCHITECTURE_AT, _PID_AT, _NEW_AT = 0, 4, 16, 32
"""In struct seccomp_data: number, architecture, and the lower halves of the first and the third argument."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_limits_of_others() -> bool:
    """Let this process, and what it starts, change nobody's limits but its own; return whether the kernel does that.

    Programs of another architecture, 32-bit ones on a 64-bit machine, do not run any more: their calls have other
    numbers. Needs PR_SET_NO_NEW_PRIVS.
    """
    known = _NUMBERS.get(platform.machine())
    if known is None:
        return False
    architecture, seccomp, prlimit = known
    code = _assemble(architecture, prlimit, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    return bool(_libc.syscall(ctypes.c_long(seccomp), _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program)) == 0)


def _assemble(architecture: int, prlimit: int, own_pid: int) -> bytes:
    """Return the filter: what each step tests, and how many steps are passed over if it is so, and if it is not."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 9, 0, _X32),
        (_EQUAL, 0, 7, prlimit),
        (_LOAD, 0, 0, _PID_AT),
        (_EQUAL, 5, 0, 0),
        (_EQUAL, 4, 0, own_pid),
        (_LOAD, 0, 0, _NEW_AT),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _NEW_AT + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
