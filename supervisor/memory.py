"""How much memory workers use, measured no more often and no more dearly than their distance to the limit asks for.

RSS costs microseconds and is never below USS, so as long as RSS is far from the limit nothing else is needed to be
safe. USS (what would come free if the process ended) is read when RSS is near, and now and then for display.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

NEAR_SHARE = 0.5
"""Above this share of its limit a worker is measured exactly, every time."""

NEAR_INTERVAL_S = 0.1
FAR_INTERVAL_S = 1.0
DISPLAY_EVERY = 10
"""Far from the limit, one look in this many is exact, for display."""


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
    """Samples many workers in one pass, in a thread: reading /proc of a large process can take milliseconds."""

    def __init__(self) -> None:
        self._round = 0

    async def sample(self, targets: Iterable[MemoryTarget]) -> list[MemorySample]:
        """Return a sample of every target that lives."""
        self._round += 1
        return await asyncio.to_thread(self._sample_all, list(targets), self._round)

    def _sample_all(self, targets: list[MemoryTarget], turn: int) -> list[MemorySample]:
        samples = []
        for index, target in enumerate(targets):
            try:
                display = not target.measured or (turn + index) % DISPLAY_EVERY == 0
                samples.append(sample_one(psutil.Process(target.pid), target, display=display))
            except psutil.NoSuchProcess:
                continue
        return samples


class ProcessMemory(Protocol):
    """The two readings of `psutil.Process` that are used."""

    def memory_info(self) -> Any:  # noqa: ANN401 - psutil's named tuple, with `rss`
        """Return cheap figures."""

    def memory_full_info(self) -> Any:  # noqa: ANN401 - psutil's named tuple, with `uss`
        """Return exact figures. Raises psutil.AccessDenied."""


def sample_one(process: ProcessMemory, target: MemoryTarget, *, display: bool) -> MemorySample:
    """Return a sample of one process, exact when it is near its limit or wanted for display.

    Raises psutil.NoSuchProcess.
    """
    rss_bytes = process.memory_info().rss
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
