"""What a bot's process tree leaves behind: processes of its session that outlive their worker, found and ended.

A worker is the leader of its session and of its group. The kernel gives a number to nobody else while a process, a
group or a session has it, so whoever is in the session of a worker that has ended is either the bot's, or came after
the last of the bot's had gone. The one is told from the other by when a worker was last known to live: a process of its
session that began before that proves that the number was never free since.
"""

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from supervisor.processes import kill_alone

PASSES = 5
"""A process may fork while it is looked for; its child is found in the next pass."""

APART_S = 1.0
"""Between two looks that nobody waits for: each reads a line of every process of the host."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that has ended. started_at, alive_at: clock ticks since boot; when it began, and when it surely lived.

    uids: users that the bot's processes may run as.
    """

    bot: str
    pid: int
    started_at: int
    alive_at: int
    uids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Left:
    """A live process that a bot has left."""

    pid: int
    started_at: int
    session: int


def ticks_now() -> int:
    """Return clock ticks since boot, as /proc/PID/stat counts them: while the machine is suspended, too."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def ticks_at(moment: datetime | None) -> int:
    """Return an aware time as clock ticks since boot; -1 if it is not known, or cannot have been."""
    age_s = -1.0 if moment is None else time.time() - moment.timestamp()
    return -1 if age_s < 0 else ticks_now() - int(age_s * TICKS_PER_S)


def left_of(workers: Iterable[Ended]) -> list[Left]:
    """Return everything that is left of the process trees of workers that have ended, and nothing that is not theirs.

    Processes that have begun a session of their own are not found.
    """
    wanted = {worker.pid: worker for worker in workers}
    sessions: dict[int, list[Left]] = defaultdict(list)
    strangers = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - the names are all that is needed, a thousand times
        found = _look(name) if name.isdigit() else None
        worker = None if found is None else wanted.get(found.session)
        if found is None or worker is None:
            continue
        if found.pid == worker.pid and found.started_at != worker.started_at:
            strangers.add(worker.pid)
        elif found.pid != worker.pid and found.started_at >= worker.started_at and _uid(found.pid) in worker.uids:
            sessions[worker.pid].append(found)
    left = []
    for pid, members in sessions.items():
        if pid in strangers:
            continue
        if min(member.started_at for member in members) <= wanted[pid].alive_at:
            left += members
        else:
            log.warning("worker.remains_unproven", bot=wanted[pid].bot, pids=[member.pid for member in members])
    return left


def _look(name: str) -> Left | None:
    """Source: proc(5), /proc/PID/stat, fields 3 (state), 6 (session) and 22 (starttime); the second is any bytes."""
    try:
        descriptor = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
        if fields[0] in {b"Z", b"X"}:
            return None
        return Left(int(name), int(fields[19]), int(fields[3]))
    except (OSError, IndexError, ValueError):
        return None


def _uid(pid: int) -> int:
    """Return a process's real user id, -1 if it is gone. Source: proc(5), /proc/PID/status, Uid."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
        return int(status.partition(b"\nUid:")[2].split(maxsplit=1)[0])
    except (OSError, IndexError, ValueError):
        return -1


def _kill(left: Left) -> None:
    with contextlib.suppress(OSError):
        kill_alone(left.pid, left.started_at)


def end_all(workers: Iterable[Ended]) -> None:
    """Kill all that is left of workers that have ended."""
    names = {worker.pid: worker.bot for worker in workers}
    workers = list(workers)
    for _ in range(PASSES):
        left = left_of(workers)
        if not left:
            return
        for each in left:
            log.info("worker.remains_killed", bot=names[each.session], pid=each.pid)
            _kill(each)
        time.sleep(0.01)  # in a thread of its own; what was killed takes a moment to be gone


class Remains:
    """Ends what is left of workers, of many that end together in one pass."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Ended, asyncio.Future[None]]] = []
        self._sweeping: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def end(self, worker: Ended, *, at_once: bool) -> asyncio.Future[None]:
        """End what is left of a worker soon, or at once; the future is done when that is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((worker, done))
        if at_once:
            self._hurry.set()
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())
        return done

    async def drain(self) -> None:
        """Return when nothing is left to be done."""
        self._hurry.set()
        while self._sweeping is not None and not self._sweeping.done():
            await asyncio.wait({self._sweeping})

    async def _sweep(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), APART_S)
            self._hurry.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(end_all, [worker for worker, _ in waiting])
            except OSError as fault:
                log.error("worker.remains_unread", error=str(fault))  # noqa: TRY400 - one line says it
            finally:
                for _, done in waiting:
                    if not done.done():
                        done.set_result(None)
