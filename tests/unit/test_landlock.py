"""Landlock as this kernel has it, in processes of their own: it cannot be taken back."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla import landlock
from flotilla.domain.confinement import SIGNALS_ABI, TCP_ABI
from tests.refusals import refuse_calls

HARNESS = """
import ctypes, json, os, socket, sys
from flotilla.landlock import APPEND, OWN, RUN, Ruleset, abi
def can(act, *arguments):
    try:
        act(*arguments)
    except PermissionError:
        return False
    return True
def listens(port=0):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
def connects(port):
    with socket.socket() as sock:
        sock.settimeout(5)
        try:
            sock.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            pass
def say(*what):
    print(json.dumps(what))
"""
CREATE_RULESET = 444


def newest() -> int:
    try:
        return landlock.abi()
    except OSError:
        pytest.skip("this kernel has no Landlock")


def said(code: str, *arguments: object) -> list[object]:
    command = [sys.executable, "-c", HARNESS + code, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: list[object] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("version", range(1, 8))
def test_each_version_refuses_what_it_knows_and_leaves_the_rest(tmp_path: Path, version: int) -> None:
    if newest() < version:
        pytest.skip("this kernel has not got so far")
    for name in ("mine", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "log").write_text("x")
    code = """
import signal, tempfile
home, version = sys.argv[1], int(sys.argv[2])
with Ruleset(version) as rules:
    found = [rules.allow(place, RUN) for place in ("/usr", sys.base_prefix, sys.prefix, home + "/nowhere")]
    rules.allow(home + "/mine", OWN)
    rules.allow(home + "/log", APPEND)
    rules.allow_ports(listen=[0])
    rules.restrict()
say(
    found[1:],
    can(open, home + "/mine/file"), can(open, home + "/mine/new", "w"), can(open, home + "/log", "a"),
    can(open, home + "/others/file"), can(os.listdir, home), can(os.unlink, home + "/others/file"),
    can(os.truncate, home + "/others/file", 0), can(os.kill, os.getppid(), 0), can(listens), can(listens, 40_000),
)
"""
    files = [[True, True, False], True, True, True, False, False, False]
    # The folder in which `file` lies may be entered all the same: only a rule can allow to truncate it.
    rest = [version < 3, version < SIGNALS_ABI, True, version < TCP_ABI]
    assert said(code, tmp_path, version) == files + rest


def test_connections_are_held_to_ports_only_where_that_is_asked_for() -> None:
    if newest() < TCP_ABI:
        pytest.skip("this kernel has not got so far")
    code = """
with Ruleset(abi(), connect=True) as rules:
    rules.allow_ports(connect=[9])
    rules.restrict()
say(can(connects, 9), can(connects, 10))
"""
    assert said(code) == [True, False]


@pytest.mark.parametrize(
    ("error", "why"), [(errno.ENOSYS, "has none"), (errno.EOPNOTSUPP, "lsm="), (errno.EPERM, "seccomp")]
)
def test_a_kernel_that_refuses_it_is_told_with_its_reason(error: int, why: str) -> None:
    code = """
from flotilla.landlock import why_not
try:
    abi()
except OSError as fault:
    say(why_not(fault))
"""
    command = [sys.executable, "-c", HARNESS + code]
    refuse = refuse_calls(CREATE_RULESET, error=error)
    ended = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=refuse)
    assert why in ended.stdout
    assert os.strerror(errno.EIO) in landlock.why_not(OSError(errno.EIO, ""))


def test_limits_and_scheduling_of_other_processes_are_refused_and_own_ones_are_not() -> None:
    code = """
import resource, subprocess
from flotilla.hardening import forbid_core_dumps
from flotilla.seccomp import hold
forbid_core_dumps()
other, own = os.getppid(), os.getpid()
kept = resource.prlimit(other, resource.RLIMIT_CORE)
usual, idle = os.sched_getscheduler(other), os.sched_param(0)
libc = ctypes.CDLL(None, use_errno=True)
def ioprio(pid):
    if libc.syscall(251 if os.uname().machine == "x86_64" else 30, 1, pid, libc.syscall(
        252 if os.uname().machine == "x86_64" else 31, 1, 0)):
        raise OSError(ctypes.get_errno(), "ioprio_set")
say(
    hold(others=True, tcp=False),
    can(resource.prlimit, own, resource.RLIMIT_CORE, (0, 0)),
    can(resource.setrlimit, resource.RLIMIT_CORE, (0, 0)),
    can(resource.prlimit, other, resource.RLIMIT_CORE),
    can(resource.prlimit, other, resource.RLIMIT_CORE, kept),
    can(os.setpriority, os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0)),
    can(os.setpriority, os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, 0)),
    can(os.setpriority, os.PRIO_PROCESS, other, os.getpriority(os.PRIO_PROCESS, other)),
    can(os.sched_setaffinity, 0, os.sched_getaffinity(0)),
    can(os.sched_setaffinity, other, os.sched_getaffinity(other)),
    can(os.sched_setscheduler, 0, usual, idle),
    can(os.sched_setscheduler, other, usual, idle),
    can(ioprio, 0),
    can(ioprio, other),
    can(socket.socket, socket.AF_INET, socket.SOCK_STREAM),
    subprocess.run([sys.executable, "-c", "import resource; resource.setrlimit(4, (0, 0))"]).returncode,
)
"""
    found = said(code)
    if found[0] is False:
        pytest.skip("this machine's calls are not known")
    refused = [place for place, could in enumerate(found) if could is False]
    assert refused == [4, 7, 9, 11, 13]
    assert found[-1] == 0


def test_what_becomes_tcp_is_refused_as_by_a_kernel_without_it_and_everything_else_is_as_it_was() -> None:
    code = """
from flotilla.hardening import forbid_core_dumps
from flotilla.seccomp import hold
forbid_core_dumps()
def number(act, *arguments):
    try:
        act(*arguments).close()
    except OSError as fault:
        return fault.errno
    return 0
listener = socket.create_server(("127.0.0.1", 0))
held = hold(others=False, tcp=True)
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
client.send(b"a"), client.sendall(b"b", socket.MSG_NOSIGNAL), client.sendmsg([b"c"])
with socket.socket() as unconnected:
    opened = can(unconnected.sendto, b"x", socket.MSG_FASTOPEN, listener.getsockname())
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 8, None), ctypes.get_errno()
say(
    held,
    [number(socket.socket, socket.AF_INET, socket.SOCK_STREAM, protocol) for protocol in (0, 6, 256, 262)],
    number(socket.socket, 43, socket.SOCK_STREAM),
    number(socket.socket, socket.AF_UNIX),
    datagram.sendto(b"x", datagram.getsockname()),
    opened,
    list(ring),
    can(os.setpriority, os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid())),
)
"""
    found = said(code)
    if found[0] is False:
        pytest.skip("this machine's calls are not known")
    unsupported = errno.EPROTONOSUPPORT
    assert found[1:] == [
        [0, 0, unsupported, unsupported],
        errno.EAFNOSUPPORT,
        0,
        1,
        False,
        [-1, errno.ENOSYS],
        True,
    ]
