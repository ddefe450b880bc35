"""Processes as the kernel tells of them. Whatever a process names itself is bytes."""

import os
import time
from pathlib import Path

SHOWN_CHARS = 80
READ_BYTES = 8192
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
FRESH_TICKS = TICKS_PER_S


def start_ticks(pid: int) -> int | None:
    """Return a live process's start time in clock ticks since boot, or None if it is gone or a zombie.

    Raises OSError if it cannot be looked at: nobody may say then that it is gone.
    Source: proc(5), /proc/PID/stat, fields 3 (state), 20 (num_threads) and 22 (starttime).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # its second field is the process's own, and any bytes
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        if is_there(pid):
            raise  # a /proc that does not show it, or none at all
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if is_over(fields) else int(fields[19])


def is_over(fields: list[bytes]) -> bool:
    """Return whether a process has ended, by its /proc/PID/stat from the third field on.

    One whose first thread has ended while others run on is shown as a zombie, and has more than that one thread.
    """
    return fields[0] in {b"Z", b"X"} and int(fields[17]) <= 1


def ticks_now() -> int:
    """Return clock ticks since boot, as /proc/PID/stat counts them: while the machine is suspended, too."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def is_fresh(fields: list[bytes]) -> bool:
    """Return whether a process began within a second or so, by its /proc/PID/stat from the third field on."""
    return int(fields[19]) > ticks_now() - FRESH_TICKS


def read_proc(pid: int, name: str) -> bytes:
    """Return what the kernel tells of a process in a file of /proc/PID, up to READ_BYTES; nothing if it is gone.

    Nothing as well of a process that this user is not shown (proc(5), hidepid). Raises OSError if it cannot be looked:
    nobody may say then that it is gone.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    try:
        return os.read(descriptor, READ_BYTES)
    except (ProcessLookupError, PermissionError):
        return b""
    finally:
        os.close(descriptor)


def pids() -> list[int]:
    """Return the pids of all processes that this one is shown. Raises OSError."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names alone, a thousand


def is_there(pid: int) -> bool:
    """Return whether some process has this pid, a zombie too. Takes no descriptor."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def uid_of(pid: int) -> int:
    """Return a process's real user id, -1 if it is gone. Raises OSError. Source: proc(5), /proc/PID/status, Uid."""
    found = read_proc(pid, "status").partition(b"\nUid:")[2].split(maxsplit=1)
    return int(found[0]) if found else -1


def uids_alive() -> set[int]:
    """Return the real user ids of all processes of this host. Raises OSError."""
    return {uid_of(pid) for pid in pids()}


def command_line(pid: int) -> bytes:
    """Return the arguments of a process as it has them now, each with a NUL behind; nothing if there are none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def title(pid: int) -> str:
    """Return what a process calls itself, fit to be shown: it may be anything, and is believed nothing."""
    text = command_line(pid).replace(b"\0", b" ").decode(errors="replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)[:SHOWN_CHARS] or "a process"
