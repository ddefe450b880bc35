"""How much memory workers use, measured no more dearly than their distance to the limit asks for.

RSS costs microseconds and is never below USS, what would come free if the process ended. USS takes the kernel about a
millisecond, more for a large process. So RSS is read at every look, what is shared with siblings is taken off as the
worker said or as it was at the last exact look, and USS is read anew where that could matter.
"""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil
import structlog

NEAR_SHARE = 0.8
"""Of the limit or of the soft limit, whichever is lower: above it figures must be fresh."""

STATM_BYTES = 128
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOVED_BYTES = 1024 * 1024
MOVED_SHARE = 0.01
"""RSS has moved if by more than both: a MiB, and this share of the limit."""

NEAR_EVERY_S = 1.0
MOVED_EVERY_S = 10.0
AT_REST_EVERY_S = 120.0
"""Pages that a worker stops sharing with its siblings do not move its RSS."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """A worker to look at. shared_bytes: what of its RSS it said to share with its siblings.

    soft_bytes: above it a decision may be due. measured: whether an exact figure of it is known already.
    """

    bot_id: str
    pid: int
    limit_bytes: int
    soft_bytes: int
    shared_bytes: int = 0
    measured: bool = True


@dataclass(frozen=True, slots=True)
class MemorySample:
    """exact: `used_bytes` is USS; otherwise an estimate, RSS less what was shared at the last exact look."""

    bot_id: str
    pid: int
    used_bytes: int
    exact: bool


class MemoryProbe:
    """Samples many workers in one pass, in a thread: reading /proc of a large process can take milliseconds.

    One pass at a time.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    async def sample(self, targets: Iterable[MemoryTarget]) -> list[MemorySample]:
        """Return a sample of every target that lives."""
        return await asyncio.to_thread(self.sample_now, list(targets), time.monotonic())

    def sample_now(self, targets: Iterable[MemoryTarget], now: float) -> list[MemorySample]:
        """As `sample`, in this thread. now: monotonic second."""
        samples = []
        for target in targets:
            try:
                known = self._known.get(target.pid)
                if known is None or known.bot_id != target.bot_id:
                    self._let_go(target.pid)
                    known = self._known[target.pid] = _Known(target, now)
                samples.append(known.sample(target, now))
            except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
                self._let_go(target.pid)
            except (psutil.Error, OSError, ValueError, IndexError) as fault:
                # It cannot be looked at now; the others are, and this one anew at the next look.
                log.warning("memory.unread", pid=target.pid, error=str(fault))
                self._let_go(target.pid)
        return samples

    def keep_only(self, pids: set[int]) -> None:
        """Let go of all other processes."""
        for pid in self._known.keys() - pids:
            self._let_go(pid)

    def _let_go(self, pid: int) -> None:
        known = self._known.pop(pid, None)
        if known is not None:
            known.close()


class _Known:
    """A process whose /proc/PID/statm is held open: reading it so takes a tenth of what psutil takes to read RSS anew.

    The descriptor goes on to mean the process that it was opened for, whoever has its pid later.
    """

    def __init__(self, target: MemoryTarget, now: float) -> None:
        self.bot_id = target.bot_id
        self._process = psutil.Process(target.pid)
        self._statm = os.open(f"/proc/{target.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._shared_bytes: int | None = None
        self._exact_at = now
        self._exact_rss_bytes = 0

    def close(self) -> None:
        os.close(self._statm)

    def sample(self, target: MemoryTarget, now: float) -> MemorySample:
        # Source: proc(5), /proc/PID/statm, field 2.
        rss_bytes = int(os.pread(self._statm, STATM_BYTES, 0).split(maxsplit=2)[1]) * PAGE_BYTES
        shared_bytes = target.shared_bytes if self._shared_bytes is None else self._shared_bytes
        if not self._is_due(target, rss_bytes, shared_bytes, now):
            return MemorySample(target.bot_id, target.pid, max(0, rss_bytes - shared_bytes), exact=False)
        # What a worker has just said is right within a tenth, and it looks at its own page tables soon.
        told = not target.measured and target.shared_bytes > 0 and rss_bytes < target.limit_bytes
        uss_bytes = None if told else _uss_bytes(self._process)
        if uss_bytes is None:
            # Before its own word RSS is no figure to show, but one to act on.
            exact = target.shared_bytes > 0 or rss_bytes > target.limit_bytes
            used_bytes = max(0, rss_bytes - target.shared_bytes)
        else:
            exact, used_bytes, self._shared_bytes = True, uss_bytes, max(0, rss_bytes - uss_bytes)
        if exact:
            self._exact_at, self._exact_rss_bytes = now, rss_bytes
        return MemorySample(target.bot_id, target.pid, used_bytes, exact)

    def _is_due(self, target: MemoryTarget, rss_bytes: int, shared_bytes: int, now: float) -> bool:
        estimate, age_s = rss_bytes - shared_bytes, now - self._exact_at
        if not target.measured or estimate >= target.limit_bytes or age_s >= AT_REST_EVERY_S:
            return True
        moved = abs(rss_bytes - self._exact_rss_bytes) >= max(MOVED_BYTES, MOVED_SHARE * target.limit_bytes)
        if estimate < NEAR_SHARE * min(target.limit_bytes, target.soft_bytes):
            return moved and age_s >= MOVED_EVERY_S
        return moved or age_s >= NEAR_EVERY_S


def _uss_bytes(process: psutil.Process) -> int | None:
    """Return what would come free if a process ended; None without root.

    Workers are not dumpable, so only root and they themselves may read their page tables.
    """
    try:
        return int(process.memory_full_info().uss)
    except psutil.AccessDenied:
        return None
