"""Landlock: a process gives up, for itself and all that it starts, what it has no need of (landlock(7)).

Three calls of the kernel that need no privilege. What a kernel does not know is left out: `abi` says how much it
knows. Why no package: decision 43.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterable
from enum import IntFlag
from typing import Final, Self

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on all architectures. Source: linux/asm-generic/unistd.h."""

_VERSION: Final = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


class Access(IntFlag):
    """What may be done with files. Source: linux/landlock.h, LANDLOCK_ACCESS_FS_."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = int(Access.READ_FILE | Access.READ_DIR)
RUN: Final = int(READ | Access.EXECUTE)
RUN_FILE: Final = int(Access.READ_FILE | Access.EXECUTE)
OWN: Final = int(~(Access.MAKE_CHAR | Access.MAKE_BLOCK))
"""Everything but devices."""

UNLISTED: Final = int(OWN & ~(Access.READ_DIR | Access.EXECUTE))
DEVICE: Final = int(Access.READ_FILE | Access.WRITE_FILE | Access.IOCTL_DEV)
APPEND: Final = int(Access.READ_FILE | Access.WRITE_FILE)

_OF_FILES: Final = int(Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV)
"""The rights that a rule on something that is no folder may have. All these are plain numbers, for they are put
together a hundred times at each start of a worker."""

_FIRST: Final = (1 << 13) - 1
_SINCE: Final = {2: Access.REFER, 3: Access.TRUNCATE, 5: Access.IOCTL_DEV}
TCP_SINCE: Final = 4
SCOPES_SINCE: Final = 6
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals of processes outside. Source: linux/landlock.h, LANDLOCK_SCOPE_…"""


class _Attributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """Return which version of Landlock the kernel offers, at least 1. Raises OSError (ENOSYS, EOPNOTSUPP, EPERM)."""
    return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))


def why_not(fault: OSError) -> str:
    """Return why `abi` raised, for an operator."""
    match fault.errno:
        case errno.ENOSYS:
            return "this kernel has none (Linux 5.13 or newer has)" if sys.platform == "linux" else "this is not Linux"
        case errno.EOPNOTSUPP:
            return "it is switched off: add landlock to the kernel's lsm= parameter"
        case errno.EPERM | errno.EACCES:
            return "the container's seccomp profile refuses it: allow landlock_create_ruleset and its two siblings"
        case _:
            return os.strerror(fault.errno or 0)


def known_access(version: int) -> int:
    """Return which rights on files a kernel of this ABI knows."""
    known = _FIRST
    for since, right in _SINCE.items():
        if version >= since:
            known |= int(right)
    return known


class Ruleset:
    """What will be allowed; all else that the kernel knows of will be refused. Close it, or leave its `with`.

    connect: whether TCP connections are refused but to ports that are allowed. Raises OSError.
    """

    def __init__(self, version: int, *, connect: bool = False) -> None:
        self._known = known_access(version)
        self._has_tcp = version >= TCP_SINCE
        self._connects = connect
        net = (_BIND_TCP | (_CONNECT_TCP if connect else 0)) if self._has_tcp else 0
        scoped = _SCOPES if version >= SCOPES_SINCE else 0
        attributes = _Attributes(self._known, net, scoped)
        size = 24 if scoped else 16 if net else 8  # an older kernel takes no field that it does not know
        self._descriptor = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def allow(self, path: str, access: int) -> bool:
        """Allow this beneath a folder, or for a file; return False if there is none. Raises OSError."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as fault:
            if fault.errno in {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP}:
                return False
            raise
        try:
            try:
                self._allow(descriptor, access)
            except OSError as fault:
                if fault.errno != errno.EINVAL or not access & self._known & ~_OF_FILES:
                    raise
                self._allow(descriptor, access & _OF_FILES)  # it is no folder
        finally:
            os.close(descriptor)
        return True

    def allow_ports(self, *, listen: Iterable[int] = (), connect: Iterable[int] = ()) -> None:
        """Allow TCP at these ports; 0 to listen is whatever port the kernel gives. Raises OSError."""
        if not self._has_tcp:
            return
        for right, ports in ((_BIND_TCP, listen), (_CONNECT_TCP, connect if self._connects else ())):
            for port in ports:
                rule = _PortRule(right, port)
                _call(_ADD_RULE, self._fd, ctypes.c_int(_NET_PORT), ctypes.byref(rule), ctypes.c_uint32(0))

    def restrict(self) -> None:
        """Hold this process and all that it starts to the rules, for good. Raises OSError."""
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _call(_RESTRICT_SELF, self._fd, ctypes.c_uint32(0))

    def close(self) -> None:
        """Let go of the descriptor; what was restricted stays so."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _fd(self) -> ctypes.c_int:
        return ctypes.c_int(self._descriptor)

    def _allow(self, descriptor: int, access: int) -> None:
        rule = _PathRule(access & self._known, descriptor)
        _call(_ADD_RULE, self._fd, ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
