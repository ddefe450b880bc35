"""Calls of the kernel that Landlock does not know, and which its promises need: few, so all others stay as quick.

*Other processes of the same user*: limits (RLIMIT_CPU of another process ends it, as a signal would), scheduling and
priorities. *Ways to TCP* whose ports Landlock does not judge: protocols that become TCP underneath, and data that is
sent while a connection is opened.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH. Source: linux/audit.h."""

_NUMBERS: Final = {
    "seccomp": (317, 277),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425),
}
"""On x86-64 and arm64. Sources: syscall_64.tbl, asm-generic/unistd.h."""

_SET_MODE_FILTER: Final = 1
_SPEC_ALLOW: Final = 1 << 2
"""Without it some kernels would slow the whole process down (seccomp(2), SECCOMP_FILTER_FLAG_SPEC_ALLOW)."""

_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
"""In struct seccomp_data."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32: Final = 0x40000000
_MSG_FASTOPEN: Final = 0x20000000
_SMC, _TO_SMC, _MPTCP = 43, 256, 262
"""A family and two protocols that become TCP underneath. Sources: linux/socket.h, linux/in.h."""

_libc = ctypes.CDLL(None, use_errno=True)
_Step = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a call must not be given. argument: which, from 0; equal, any_bit: values of it that are refused.

    unless: values of it that are allowed, where `equal` and `any_bit` are empty. harmless_if_none: an argument of which
    0 means that nothing is set.
    """

    call: str
    argument: int
    error: int
    equal: tuple[int, ...] = ()
    any_bit: int = 0
    unless: tuple[int, ...] | None = None
    harmless_if_none: int | None = None


def hold(*, others: bool, tcp: bool) -> bool:
    """Refuse calls from now on, to this process and to what it starts; return whether the kernel does that.

    others: those that change limits, scheduling or priority of any process but the caller. tcp: those that reach a TCP
    port without asking Landlock. Programs of another architecture, 32-bit ones on a 64-bit machine, do not run any
    more: their calls have other numbers. Needs PR_SET_NO_NEW_PRIVS.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    column = list(_ARCHITECTURES).index(platform.machine())
    rules = (_of_others(os.getpid()) if others else ()) + (_TCP if tcp else ())
    code = _assemble(architecture, [(_NUMBERS[rule.call][column], list(_steps(rule))) for rule in rules])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    seccomp = ctypes.c_long(_NUMBERS["seccomp"][column])
    return bool(_libc.syscall(seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program)) == 0)


_TCP: Final = (
    _Rule("socket", 2, errno.EPROTONOSUPPORT, equal=(_MPTCP, _TO_SMC)),
    _Rule("socket", 0, errno.EAFNOSUPPORT, equal=(_SMC,)),
    _Rule("sendto", 3, errno.EPERM, any_bit=_MSG_FASTOPEN),
    _Rule("sendmsg", 2, errno.EPERM, any_bit=_MSG_FASTOPEN),
    _Rule("sendmmsg", 3, errno.EPERM, any_bit=_MSG_FASTOPEN),
    # It makes sockets and sends without these calls. Who uses it does without where a kernel has none.
    _Rule("io_uring_setup", 0, errno.ENOSYS, unless=()),
)


def _of_others(own_pid: int) -> tuple[_Rule, ...]:
    own = (0, own_pid)
    by_pid = ("sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr")
    return (
        _Rule("prlimit64", 0, errno.EPERM, unless=own, harmless_if_none=2),
        *(_Rule(call, 0, errno.EPERM, unless=own) for call in by_pid),
        *(_Rule(call, 1, errno.EPERM, unless=own) for call in ("setpriority", "ioprio_set")),
    )


def _steps(rule: _Rule) -> Iterator[_Step]:
    """Yield what is done with a call: tests of its arguments, each with how many steps are passed over, and an end."""
    refused = (_RETURN, 0, 0, _ERRNO | rule.error)
    allowed = (_RETURN, 0, 0, _ALLOW)
    if rule.harmless_if_none is not None:
        at = _ARGUMENTS_AT + 8 * rule.harmless_if_none
        yield from ((_LOAD, 0, 0, at), (_EQUAL, 0, 3, 0), (_LOAD, 0, 0, at + 4), (_EQUAL, 0, 1, 0), allowed)
    yield (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * rule.argument)
    if rule.unless is not None:
        for value in rule.unless:
            yield from ((_EQUAL, 0, 1, value), allowed)
        yield refused
        return
    for value in rule.equal:
        yield from ((_EQUAL, 0, 1, value), refused)
    if rule.any_bit:
        yield from ((_ANY_BIT, 0, 1, rule.any_bit), refused)


def _assemble(architecture: int, blocks: Iterable[tuple[int, list[_Step]]]) -> bytes:
    """Return the filter: each block is passed over by calls of another number, and what none has ended is allowed."""
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    for number, block in blocks:
        steps += [(_LOAD, 0, 0, _NUMBER_AT), (_EQUAL, 0, len(block), number), *block]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
