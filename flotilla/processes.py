"""Processes as the kernel tells of them. Whatever a process names itself is bytes."""

import os
from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """Return a live process's start time in clock ticks since boot, or None if it is gone or a zombie.

    Raises OSError if it cannot be looked at: nobody may say then that it is gone.
    Source: proc(5), /proc/PID/stat, fields 3 (state) and 22 (starttime).
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
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def is_there(pid: int) -> bool:
    """Return whether some process has this pid, a zombie too. Takes no descriptor."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
