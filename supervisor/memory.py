"""How much memory workers use, measured no more often and no more dearly than their distance to the limit asks for.

RSS costs microseconds and is never below USS, so as long as RSS is far from the limit nothing else is needed to be
safe. USS (what would come free if the process ended) takes the kernel about a millisecond, a hundred times as long: it
is read when RSS is near, and for display soon after RSS has moved and else now and then.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

NEAR_SHARE = 0.5
"""Above this share of its limit a worker is measured exactly, every time."""

STATM_BYTES = 128
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NEAR_INTERVAL_S = 0.1
FAR_INTERVAL_S = 1.0
DISPLAY_EVERY = 10
"""Far from the limit, one look in this many is exact, for display, if RSS has moved since the exact look before."""

MOVED_BYTES = 1024 * 1024
DISPLAY_AT_REST_EVERY = 120
"""And one in this many even if not: pages that a worker stops sharing with its siblings do not move its RSS."""


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """A worker to look at. shared_bytes: what of its RSS it said to share with its siblings.

    measured: whether an exact figure of it is known already.
    """

    bot_id: str
    pid: int
    limit_bytes: int
    shared_bytes: int = 0
    measured: bool = True


@dataclass(frozen=True, slots=True)
class MemorySample:
    """exact: `used_bytes` is USS; otherwise it is RSS, an upper bound."""

    bot_id: str
    pid: int
    used_bytes: int
    exact: bool


class MemoryProbe:
    """Samples many workers in one pass, in a thread: reading /proc of a large process can take milliseconds.

    One pass at a time.
    """

    def __init__(self) -> None:
        self._round = 0
        self._known: dict[int, _Known] = {}

    async def sample(self, targets: Iterable[MemoryTarget]) -> list[MemorySample]:
        """Return a sample of every target that lives."""
        self._round += 1
        return await asyncio.to_thread(self._sample_all, list(targets), self._round)

    def _sample_all(self, targets: list[MemoryTarget], turn: int) -> list[MemorySample]:
        before, self._known = self._known, {}
        samples = []
        for index, target in enumerate(targets):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
                if target.pid not in self._known:
                    self._known[target.pid] = before.pop(target.pid, None) or _Known(target.pid)
                samples.append(self._known[target.pid].sample(target, turn + index))
        for gone in before.values():
            gone.close()
        return samples


class _Known:
    """A process whose /proc/PID/statm is held open: reading it so takes a tenth of what psutil takes to read RSS anew.

    The descriptor goes on to mean the process that it was opened for, whoever has its pid later.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._measured_at_bytes = 0  # what RSS was when USS was last read

    def close(self) -> None:
        os.close(self._statm)

    def sample(self, target: MemoryTarget, turn: int) -> MemorySample:
        # Source: proc(5), /proc/PID/statm, field 2.
        rss_bytes = int(os.pread(self._statm, STATM_BYTES, 0).split(maxsplit=2)[1]) * PAGE_BYTES
        sample = sample_one(self._process, target, rss_bytes, display=self._to_display(target, rss_bytes, turn))
        if sample.exact:
            self._measured_at_bytes = rss_bytes
        return sample

    def _to_display(self, target: MemoryTarget, rss_bytes: int, turn: int) -> bool:
        if not target.measured or turn % DISPLAY_AT_REST_EVERY == 0:
            return True
        return turn % DISPLAY_EVERY == 0 and abs(rss_bytes - self._measured_at_bytes) >= MOVED_BYTES


class ProcessMemory(Protocol):
    """The dear reading of `psutil.Process`."""

    def memory_full_info(self) -> Any:  # noqa: ANN401 - psutil's named tuple, with `uss`
        """Return exact figures. Raises psutil.AccessDenied."""


def sample_one(process: ProcessMemory, target: MemoryTarget, rss_bytes: int, *, display: bool) -> MemorySample:
    """Return a sample of one process, exact when it is near its limit or wanted for display.

    Raises psutil.NoSuchProcess.
    """
    if not display and rss_bytes < target.limit_bytes * NEAR_SHARE:
        return MemorySample(target.bot_id, target.pid, rss_bytes, exact=False)
    try:
        return MemorySample(target.bot_id, target.pid, process.memory_full_info().uss, exact=True)
    except psutil.AccessDenied:
        # Workers are not dumpable, so without root only they themselves may read their page tables.
        told = target.shared_bytes > 0 or rss_bytes > target.limit_bytes
        return MemorySample(target.bot_id, target.pid, max(0, rss_bytes - target.shared_bytes), exact=told)


def next_interval_s(samples: Iterable[MemorySample], limit_bytes: int) -> float:
    """Return seconds until the next pass: short while any worker is near its limit."""
    near = any(sample.used_bytes >= limit_bytes * NEAR_SHARE for sample in samples)
    return NEAR_INTERVAL_S if near else FAR_INTERVAL_S
