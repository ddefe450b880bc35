"""What surroundings refuse a process: calls of the kernel, descriptors, room on a disk. For a child, before exec."""

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Callable
from pathlib import Path

PIDFD_SEND_SIGNAL, PIDFD_OPEN = 424, 434
"""Numbers of calls that are the same on all of Linux's architectures. Source: linux/asm-generic/unistd.h."""

SETRESUID = {"x86_64": 117, "aarch64": 147}.get(platform.machine())
"""Of this machine. Source: linux, syscall_64.tbl and asm-generic/unistd.h."""

_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_calls(*numbers: int, error: int = errno.EPERM) -> Callable[[], None]:
    """Have the kernel answer these calls of the process and of its children with `error`, as seccomp profiles do."""
    steps = [(_LOAD_NUMBER, 0, 0, 0)]
    for number in numbers:
        steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)

    def refuse() -> None:
        buffer = ctypes.create_string_buffer(code, len(code))
        program = _Program(len(steps), ctypes.cast(buffer, ctypes.c_void_p))
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))

    return refuse


def few_descriptors(count: int) -> Callable[[], None]:
    """Let the process and its children have no more than `count` files open at once, each."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def without_inodes(*folders: Path) -> Callable[[], None]:
    """Put file systems without room for any file over folders, which only the process and its children see.

    Without root: folders in which nothing can be made.
    """

    def mount() -> None:
        if os.geteuid() != 0:
            for folder in folders:
                folder.chmod(0o500)
            return
        _checked(_libc.unshare(_CLONE_NEWNS))
        _checked(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
        for folder in folders:
            _checked(_libc.mount(b"none", bytes(folder), b"tmpfs", 0, b"size=64k,nr_inodes=1,mode=700"))

    return mount


def give_inodes(pid: int, *folders: Path) -> None:
    """Give a process room in the folders that `without_inodes` took it from."""
    if os.geteuid() != 0:
        for folder in folders:
            folder.chmod(0o700)
        return
    for folder in folders:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with Path(f"/proc/{pid}/ns/mnt").open() as namespace:
                    _checked(_libc.setns(namespace.fileno(), _CLONE_NEWNS))
                _checked(_libc.umount2(bytes(folder), 2))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0, "the folder could not be given back"


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
