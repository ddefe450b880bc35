"""The kernel's hold on a worker's memory, behind the probe that samples it: where the probe is too late, it is not.

Two ways. A cgroup counts what a worker and its children really use, and kills them all. RLIMIT_DATA counts what one
process has mapped, used or not, and answers with a MemoryError; the worker itself moves it (worker_bot/confinement.py),
for that takes no privilege. `bound_bytes` is `Policy.memory_bound_bytes` throughout.
"""

import signal
from pathlib import Path
from typing import Literal, Protocol

import structlog

from flotilla.errors import SetupError
from flotilla.protocol import EXIT_OUT_OF_MEMORY
from supervisor.cgroups import OWN_PROC, Cgroups, find

COPIED_BYTES = 20 * 1024 * 1024
"""What a start copies of the memory that a worker shares with its siblings: 12 MB by this project's own, 19 MB when its
lines are counted for coverage.

It counts as mapped from the beginning, and as used only then; once READY, the worker knows better.
"""

log = structlog.get_logger()


class KernelLimits(Protocol):
    """What holds workers. `bot_id` and `generation` name one."""

    def growth_bytes(self, bound_bytes: int) -> int | None:
        """Return what a new worker may take beyond what it is forked with, None if that is not limited."""

    def join(self, bot_id: str, generation: int, bound_bytes: int) -> str:
        """Return the cgroup that a new worker must join, or an empty string."""

    def apply(self, bot_id: str, generation: int, bound_bytes: int) -> None:
        """Let a new bound hold for a live worker that does not move its own. Of one that has ended nothing changes."""

    def end(self, bot_id: str, generation: int) -> Path | None:
        """Kill what a worker that has ended left in its cgroup; return the cgroup, None if it had none."""

    def ended(self, bot_id: str, generation: int, exit_code: int | None) -> bool:
        """Return whether this limit ended a worker, and forget the worker. exit_code: as `subprocess` has it."""


def kernel_limits(mode: Literal["auto", "cgroup", "rlimit", "off"], proc: Path = OWN_PROC) -> KernelLimits:
    """Return what this host can do. proc: this program's folder in /proc.

    Raises SetupError (`no_cgroup`) if a cgroup is asked for and none is delegated.
    """
    root = find(proc) if mode in {"auto", "cgroup"} else None
    if root is None and mode == "cgroup":
        raise SetupError(
            "FLOTILLA_MEMORY_KERNEL_LIMIT is cgroup, but no cgroup v2 with memory accounting is delegated to this "
            "program. Start it from a systemd unit with Delegate=yes and DelegateSubgroup=, or choose auto.",
            code="no_cgroup",
        )
    log.info("kernel_limits.chosen", how="off" if mode == "off" else "cgroup" if root else "rlimit", root=str(root))
    if root is not None:
        cgroups = Cgroups(root)
        cgroups.sweep()
        return CgroupLimits(cgroups)
    return NoLimits() if mode == "off" else DataLimits()


class NoLimits:
    """The probe alone."""

    def growth_bytes(self, _bound_bytes: int) -> int | None:
        """No bound."""
        return None

    def join(self, _bot_id: str, _generation: int, _bound_bytes: int) -> str:
        """No cgroup."""
        return ""

    def apply(self, _bot_id: str, _generation: int, _bound_bytes: int) -> None:
        """Change nothing."""

    def end(self, _bot_id: str, _generation: int) -> Path | None:
        """There is no cgroup."""
        return None

    def ended(self, _bot_id: str, _generation: int, _exit_code: int | None) -> bool:
        """Say no."""
        return False


class CgroupLimits(NoLimits):
    """memory.max of a cgroup per worker. Beyond it, the kernel kills all that is in the cgroup."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups

    def join(self, bot_id: str, generation: int, bound_bytes: int) -> str:
        """Make a cgroup. Without one the worker runs all the same, held by the probe."""
        try:
            return str(self._cgroups.make(bot_id, generation, bound_bytes))
        except OSError as fault:
            log.warning("kernel_limits.no_cgroup", bot_id=bot_id, generation=generation, error=str(fault))
            return ""

    def apply(self, bot_id: str, generation: int, bound_bytes: int) -> None:
        """Write memory.max: the kernel reclaims what it can, and kills if that is not enough."""
        try:
            self._cgroups.resize(bot_id, generation, bound_bytes)
        except OSError as fault:
            log.warning("kernel_limits.not_applied", bot_id=bot_id, generation=generation, error=str(fault))

    def end(self, bot_id: str, generation: int) -> Path | None:
        """Have the kernel kill them together, if it can."""
        self._cgroups.kill(bot_id, generation)
        return self._cgroups.folder(bot_id, generation)

    def ended(self, bot_id: str, generation: int, exit_code: int | None) -> bool:
        """Ask the kernel's own count, then remove the cgroup. Nobody may have seen the exit code."""
        killed = exit_code in {None, -signal.SIGKILL} and self._cgroups.oom_kills(bot_id, generation) > 0
        self._cgroups.remove(bot_id, generation)
        return killed


class DataLimits(NoLimits):
    """RLIMIT_DATA, which the worker sets before it runs its bot and moves from then on."""

    def growth_bytes(self, bound_bytes: int) -> int | None:
        """Return the bound without what the worker will copy."""
        return bound_bytes - COPIED_BYTES

    def ended(self, _bot_id: str, _generation: int, exit_code: int | None) -> bool:
        """Take the worker's word for a MemoryError. An abort() may have any cause, also near the limit."""
        return exit_code == EXIT_OUT_OF_MEMORY
