"""Why a host cannot start a worker, none of it a bot's fault, and what an operator does about it. Pure."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostFault:
    """One row of the table. code: stable."""

    code: str
    remedy: str


DISK_FULL = HostFault("disk_full", "Free space or files on the disk of FLOTILLA_HOME: df -h and df -i say which.")
READ_ONLY = HostFault("read_only", "FLOTILLA_HOME can only be read. Look for disk errors (dmesg), then mount it anew.")
DESCRIPTORS = HostFault(
    "descriptors", "Raise the limit of open files (ulimit -Hn, LimitNOFILE=) and restart Flotilla, or run fewer bots."
)
PROCESSES = HostFault(
    "processes", "Raise the limit of processes (ulimit -u, TasksMax=, a container's pids limit), or run fewer bots."
)
MEMORY = HostFault("memory", "Give the host more memory, or run fewer bots: free -m says how much is left.")
FOLDER = HostFault("folder", "Flotilla makes its folders anew. Find out what removes files in FLOTILLA_HOME.")
PERMISSIONS = HostFault("permissions", "Give FLOTILLA_HOME and all in it back to the user that Flotilla runs as.")
FORK_SERVER = HostFault("fork_server", "Flotilla replaces it by itself. If it comes again: see logs/supervisor.log.")
UNKNOWN = HostFault("unknown", "See logs/supervisor.log.")

_OF_ERRORS: Mapping[str, HostFault] = {
    "ENOSPC": DISK_FULL,
    "EDQUOT": DISK_FULL,
    "EROFS": READ_ONLY,
    "EMFILE": DESCRIPTORS,
    "ENFILE": DESCRIPTORS,
    "EAGAIN": PROCESSES,
    "ENOMEM": MEMORY,
    "ENOENT": FOLDER,
    "ENOTDIR": FOLDER,
    "EACCES": PERMISSIONS,
    "EPERM": PERMISSIONS,
}


def fault_of(number: int | None) -> HostFault:
    """Return what an error number of the kernel means for a start; None: not one of the kernel's."""
    return fault_named(errno.errorcode.get(number or 0, ""))


def fault_named(name: str) -> HostFault:
    """Return what the name of an error number, such as `ENOSPC`, means for a start."""
    return _OF_ERRORS.get(name, UNKNOWN)
