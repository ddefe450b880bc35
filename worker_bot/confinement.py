"""What a worker gives up before its bot's first line of code runs: memory without end, its user, others' files."""

import errno
import os
import resource
import tempfile
import threading
from pathlib import Path
from typing import Final

from msgspec import structs

from flotilla.hardening import (
    become_user,
    drop_capabilities,
    limit_for_good,
    limit_growth,
    own_memory,
    own_private_bytes,
)
from flotilla.landlock import Ruleset
from flotilla.protocol import Bounds, Fork, Without
from flotilla.seccomp import refuse_limits_of_others
from worker_bot import walls

TEMPORARY: Final = "tmp"
"""In a bot's folder: what its code makes for a while."""

THREAD_STACK_BYTES = 2 * 1024 * 1024
"""RLIMIT_DATA counts the whole stack of a thread, 8 MB by default, of which Python uses a few pages."""


def confine(fork: Fork, lacks: list[Without] | None = None, ruleset: Ruleset | None = None) -> Fork:
    """Hold this process to `fork.bounds` for good; return the order as it can still be carried out.

    ruleset: its walls, as `begin_walls` has them.

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
    own = _own_folders(fork)
    if ruleset is not None:
        walls.complete(ruleset, own, fork.log_path)
    _give_up_rights(bounds, ruleset)
    _settle(own)
    if bounds.growth_bytes is not None:
        threading.stack_size(THREAD_STACK_BYTES)
        limit_growth(bounds.growth_bytes)
    return fork


def begin_walls(bounds: Bounds) -> Ruleset | None:
    """Return the walls of a worker that is to be forked, as far as they are those of all, or None without any.

    With the rights that go with the worker's user. Raises OSError.
    """
    if bounds.walls is None:
        return None
    return walls.begin(bounds.walls, strict=os.geteuid() == 0 and (bounds.uid is None or bounds.searches))


def _give_up_rights(bounds: Bounds, ruleset: Ruleset | None) -> None:
    """Become the bot's user, if it has one, and keep to its own files and ports."""
    if bounds.uid is not None:
        limit_for_good(resource.RLIMIT_NPROC, bounds.processes)
        become_user(bounds.uid, bounds.fleet_gid, searches=bounds.searches)
    if ruleset is None:
        return
    if bounds.uid is None:
        drop_capabilities()
    ruleset.restrict()
    ruleset.close()
    if bounds.uid is None:
        refuse_limits_of_others()  # only a user of its own keeps a bot from them otherwise


def _own_folders(fork: Fork) -> list[str]:
    """Return the folders that are this bot's alone: of its session, and what it keeps. Made, and handed over to it."""
    wanted = [str(Path(fork.session_path).parent)] if fork.session_path else []
    if fork.bounds.folder and not make_folder(Path(fork.bounds.folder)):
        wanted.append(fork.bounds.folder)
        os.environ["HOME"] = fork.bounds.folder
    owner = os.geteuid() if fork.bounds.uid is None else fork.bounds.uid
    if os.geteuid() == 0:
        for folder in wanted:
            _hand_over(Path(folder), owner)
    return wanted


def _settle(own: list[str]) -> None:
    """Have what the bot makes for a while lie where no other bot looks.

    Not before the bot's user does it: in a folder of his own, his links might lead anywhere.
    """
    if own and not make_folder(Path(own[0]) / TEMPORARY):
        os.environ["TMPDIR"] = tempfile.tempdir = f"{own[0]}/{TEMPORARY}"


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
    """Make a folder with all that is in it another user's; no link is followed, and nothing is done twice."""
    if folder.stat().st_uid == uid:
        return
    for _path, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, uid)
