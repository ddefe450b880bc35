"""What a worker gives up before its bot's first line of code runs: memory without end, its user, others' files."""

import contextlib
import errno
import os
import resource
import stat
import tempfile
import threading
from pathlib import Path

from msgspec import structs

from flotilla.domain.confinement import TCP_ABI
from flotilla.hardening import (
    become_user,
    drop_capabilities,
    limit_for_good,
    limit_growth,
    own_memory,
    own_private_bytes,
)
from flotilla.landlock import Ruleset
from flotilla.mark import wear_worker_mark
from flotilla.protocol import Bounds, Fork, Without
from flotilla.seccomp import hold
from worker_bot import walls

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
    _limit_files(bounds)
    session = Path(fork.session_path)
    if fork.session_path and (error := make_folder(session.parent)):
        fork = structs.replace(fork, session_path="")
        if lacks is not None:
            lacks.append(Without("session", error))
    own = _own_folders(fork)
    if ruleset is not None:
        walls.complete(ruleset, own, fork.log_path)
    _give_up_rights(bounds, ruleset)
    if bounds.growth_bytes is not None:
        threading.stack_size(THREAD_STACK_BYTES)
        limit_growth(bounds.growth_bytes)
    return fork


def _limit_files(bounds: Bounds) -> None:
    """Before anything else of the bot's: what it starts is known by the mark."""
    if bounds.mark is not None:
        wear_worker_mark(bounds.mark)
    if bounds.file_bytes is not None:
        limit_for_good(resource.RLIMIT_FSIZE, bounds.file_bytes)
    limit_for_good(resource.RLIMIT_NOFILE, bounds.open_files)


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
    # Only a user of its own keeps a bot from other processes otherwise, and nothing from other ways to TCP.
    hold(others=bounds.uid is None, tcp=bounds.walls is not None and bounds.walls.abi >= TCP_ABI)


def _own_folders(fork: Fork) -> list[str]:
    """Return the folders that are this bot's alone: of its session, what it keeps, what it has for a while.

    Made, and handed over to it; its code finds the last two as HOME and TMPDIR.
    """
    bounds = fork.bounds
    owner = os.geteuid() if bounds.uid is None else bounds.uid
    own = [str(Path(fork.session_path).parent)] if fork.session_path else []
    if bounds.folder and not make_folder(Path(bounds.folder)):
        own.append(bounds.folder)
        os.environ["HOME"] = bounds.folder
    if os.geteuid() == 0:
        for folder in own:
            _hand_over(Path(folder), owner)
    if bounds.temporary and (temporary := _make_temporary(bounds.temporary, owner)):
        own.append(temporary)
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
    return own


def _make_temporary(wanted: str, owner: int) -> str:
    """Return a folder that is its owner's alone: this one, another if somebody was there before; empty if none can be.

    It lies where every user of this host may make what he likes.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(wanted, 0o700)  # noqa: PTH102 - all of it is strings for the kernel
            os.chown(wanted, owner, owner if os.geteuid() == 0 else -1)
        found = os.lstat(wanted)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not stat.S_IMODE(found.st_mode) & 0o077:
            return wanted
        another = tempfile.mkdtemp(prefix="flt-", dir=os.path.dirname(wanted))  # noqa: PTH120
        os.chown(another, owner, owner if os.geteuid() == 0 else -1)
    except OSError:
        return ""
    return another


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
    """Make a folder with all that is in it another user's; no link is followed, and nothing is done twice.

    Raises OSError, also for one that is nested so deep that nobody could use it.
    """
    if folder.stat().st_uid == uid:
        return
    try:
        for _path, folders, files, descriptor in os.fwalk(folder):
            for name in (*folders, *files):
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    except RecursionError:
        raise OSError(errno.ELOOP, "it is nested too deep", str(folder)) from None
    os.chown(folder, uid, uid)
