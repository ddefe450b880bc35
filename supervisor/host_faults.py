"""What keeps this host from starting workers: told once, and once more when it is over. Never a bot's fault."""

import errno
import fcntl
import os
import resource
import time
from collections.abc import Callable

import structlog

from flotilla.domain.host_faults import FORK_SERVER, HostFault, fault_named, fault_of
from flotilla.protocol import Without
from supervisor.chronicle import Chronicle
from supervisor.member import Member

DESCRIPTORS_KEPT = 32
"""For what is no worker: the database, Valkey, logs that are copied, looks at /proc."""

DESCRIPTORS_PER_WORKER = 4
"""Its pidfd, its control connection, its log and its statm."""

MAX_WHY_CHARS = 300
log = structlog.get_logger()


class HostFaults:
    """The faults that stand."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self.on_mended: Callable[[], None] = lambda: None
        """Called when a worker has come up after there were some."""
        self._standing: set[str] = set()
        self._since = 0.0
        self._failed = 0

    def note(self, why: str, error: OSError | None = None) -> None:
        """A worker could not be started. why: a sentence, or the name of an error number."""
        fault = _fault(why, error)
        self._failed += 1
        if fault.code in self._standing:
            return
        if not self._standing:
            self._since = time.monotonic()
        self._standing.add(fault.code)
        self._chronicle.note(
            "spawns_fail", distinct=fault.code, cause=fault.code, why=why[:MAX_WHY_CHARS], remedy=fault.remedy
        )

    def take(self, member: Member, _generation: int, lack: Without) -> None:
        """Tell what a worker has to do without."""
        self._chronicle.note(
            "runs_without",
            member.bot.id,
            member.bot.name,
            distinct=lack.what,
            what=lack.what,
            error=lack.error,
            remedy=fault_named(lack.error).remedy,
        )

    def worker_met(self) -> None:
        """A new worker has come up, so the host can start some."""
        if not self._standing:
            return
        after_s = round(time.monotonic() - self._since, 1)
        self._chronicle.note("spawns_work", causes=sorted(self._standing), after_s=after_s, failed=self._failed)
        self._standing.clear()
        self._failed = 0
        self.on_mended()


def _fault(why: str, error: OSError | None) -> HostFault:
    if error is not None:
        return fault_of(error.errno)
    return FORK_SERVER if "fork server" in why else fault_named(why)


def require_descriptors(starting: int) -> None:
    """Raise OSError (EMFILE) if this process may soon have no descriptor left for workers. Takes microseconds.

    starting: how many workers may be about to take theirs.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = DESCRIPTORS_KEPT + DESCRIPTORS_PER_WORKER * (starting + 1)
    if soft == resource.RLIM_INFINITY or _lowest_free(max(0, soft - needed), soft) or _free(soft) >= needed:
        return
    raise OSError(errno.EMFILE, f"{soft} files may be open in the supervisor, and fewer than {needed} of them are free")


def _lowest_free(at_least: int, limit: int) -> bool:
    """Return whether `at_least` is free: the kernel gives the lowest free one, so all above it are free too, mostly."""
    try:
        descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, at_least)
    except OSError:
        return False
    os.close(descriptor)
    return descriptor == at_least < limit


def _free(limit: int) -> int:
    """Count the free ones, in a millisecond or so: there may be holes below."""
    try:
        return limit - len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone
    except OSError:
        return 0
