"""What a worker gives up before its bot's first line of code runs: memory and files without end, and its user."""

import errno
import os
import resource
import threading
from pathlib import Path

from msgspec import structs

from flotilla.hardening import become_user, limit_for_good, limit_growth, own_memory, own_private_bytes
from flotilla.protocol import Fork, Without

THREAD_STACK_BYTES = 2 * 1024 * 1024
"""RLIMIT_DATA counts the whole stack of a thread, 8 MB by default, of which Python uses a few pages."""


def confine(fork: Fork, lacks: list[Without] | None = None) -> Fork:
    """Hold this process to `fork.bounds` for good; return the order with paths that it can still reach.

    Without a folder for its session it has none in the order; `lacks` is told so. Raises OSError, and then the worker
    must not run.
    """
    bounds = fork.bounds
    if bounds.cgroup:
        _join(bounds.cgroup)
    limit_for_good(resource.RLIMIT_NOFILE, bounds.open_files)
    session = Path(fork.session_path)
    if fork.session_path and (error := make_folder(session.parent)):
        fork = structs.replace(fork, session_path="")
        if lacks is not None:
            lacks.append(Without("session", error))
    if bounds.uid is not None:
        limit_for_good(resource.RLIMIT_NPROC, bounds.processes)
        if fork.session_path:
            _hand_over(session.parent, bounds.uid)
        fork = structs.replace(
            fork,
            control_path=_reachable(fork.control_path),
            session_path=_reachable(fork.session_path) if fork.session_path else "",
        )
        become_user(bounds.uid, bounds.fleet_gid)
    if bounds.growth_bytes is not None:
        threading.stack_size(THREAD_STACK_BYTES)
        limit_growth(bounds.growth_bytes)
    return fork


def make_folder(folder: Path) -> str:
    """Make a folder if it is not there, with those above it; return the name of the error if that cannot be."""
    try:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        return name_of(fault)
    return ""


def name_of(fault: OSError) -> str:
    """Return the name of an error number, such as `ENOSPC`."""
    return errno.errorcode.get(fault.errno or 0, "unknown")


class WorkerMemory:
    """What this process knows of its own memory.

    bounded: it was forked with a bound, which it keeps up to date.
    """

    def __init__(self, *, bounded: bool) -> None:
        self._bounded = bounded
        self.shared_bytes: int | None = None

    def estimate(self) -> None:
        """Say how much is shared by how many pages were touched since the fork: in microseconds, and within a tenth.

        Only soon after the fork, so it does nothing once something is known.
        """
        if self.shared_bytes is not None:
            return
        own_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()
        self.shared_bytes = max(0, own_memory().resident_bytes - own_bytes)

    def measure(self) -> None:
        """Look how much is shared with the siblings. Takes about a millisecond."""
        self.shared_bytes = own_memory().resident_bytes - own_private_bytes()

    def move_bound(self, bound_bytes: int) -> None:
        """Let this process map what is missing to `bound_bytes` of memory of its own, and no more; 0: as it is.

        So what is mapped and not used, as the stacks of threads are, takes nothing from a bot; and what it shares with
        its siblings does not either. Repeated with every heartbeat: takes 20 µs. Does nothing before the first
        `estimate` or `measure`.
        """
        if self._bounded and self.shared_bytes is not None and bound_bytes:
            limit_growth(bound_bytes - max(0, own_memory().resident_bytes - self.shared_bytes))


def _join(cgroup: str) -> None:
    """Move into a cgroup (0 is the process that writes). A worker that cannot is still held by the probe."""
    try:
        with (Path(cgroup) / "cgroup.procs").open("w") as file:
            file.write("0")
    except OSError as fault:
        os.write(2, f"the worker could not join its cgroup: {fault}\n".encode())


def _hand_over(folder: Path, uid: int) -> None:
    """Make a folder with what is in it another user's. Once it is, its links may lead anywhere and are let be."""
    if folder.stat().st_uid == uid:
        return
    for entry in folder.iterdir():
        os.chown(entry, uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid)


def _reachable(path: str) -> str:
    """Return a path to the same place that needs no permission on the folders above its own.

    So that the home stays closed to all bots: each has a handle on the two folders it needs. Its children do not.
    """
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{name}"
