"""Processes as the kernel tells of them. Whatever a process names itself is bytes."""

from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """Return a live process's start time in clock ticks since boot, or None if it is gone or a zombie.

    Source: proc(5), /proc/PID/stat, fields 3 (state) and 22 (starttime).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # its second field is the process's own, and any bytes
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])
