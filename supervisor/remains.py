"""What bots' process trees have left behind: live processes whose worker has ended, each proved to be a bot's.

No proof rests on what a process can choose for itself: title, environment, folder, parent, group. It is a bot's by

- the user id that the bot has to itself, or the cgroup of its worker;
- the mark of its worker, which it can spoil and cannot exchange (flotilla/mark.py);
- a spoiled mark and an ancestor of ours: orphans come to the fork server that their worker came from, as a subreaper;
- the session of its worker, for workers without a mark. The kernel gives a number to nobody else while a process, a
  group or a session has it. So whoever is in the session of a worker that has ended is either the bot's, or came after
  the last of the bot's had gone. The one is told from the other by when a worker was last known to live: a process of
  its session that began before that proves that the number was never free since.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from flotilla.mark import Worn, worn_by, worn_in
from flotilla.processes import TICKS_PER_S, is_fresh, is_over, pids, read_proc, ticks_now, uid_of
from supervisor.cgroups import pids_in

SETTLED_TICKS = TICKS_PER_S
"""A worker that was ordered while others were looked for is not known to them; it is younger than this."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that has ended. started_at, alive_at: clock ticks since boot; when it began, and when it surely lived.

    uids: users that the bot's processes may run as. number: of its mark. own_uid: the user that is the bot's alone.
    cgroup: that of this worker alone.
    """

    bot: str
    pid: int
    started_at: int
    alive_at: int
    uids: frozenset[int]
    number: int | None = None
    own_uid: int | None = None
    cgroup: Path | None = None
    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A live process that a bot has left. worker: whose; None: of one that nobody remembers."""

    pid: int
    started_at: int
    session: int
    parent: int = 0
    worker: Ended | None = None


def _none() -> Collection[int]:
    return ()


@dataclass(frozen=True, slots=True)
class Living:
    """What lives of the fleet.

    home: its mark. workers: pids of live workers, held so that nobody else can have them. numbers: returns those of all
    incarnations that may live. roots: pids of the processes that orphans of ours come to. at: clock ticks, when looked.
    """

    home: int | None = None
    workers: frozenset[int] = frozenset()
    numbers: Callable[[], Collection[int]] = _none
    roots: frozenset[int] = frozenset()
    at: int = 0


NOTHING_LIVES = Living()


def ticks_at(moment: datetime | None) -> int:
    """Return an aware time as clock ticks since boot; -1 if it is not known, or cannot have been."""
    age_s = -1.0 if moment is None else time.time() - moment.timestamp()
    return -1 if age_s < 0 else ticks_now() - int(age_s * TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. unclear: something ended before anybody could tell whose it was, and may have begotten others."""

    left: list[Left]
    unclear: bool


def left_of(workers: Iterable[Ended], living: Living = NOTHING_LIVES) -> list[Left]:
    """Return everything that is left of the process trees of workers that have ended, as `look` does."""
    return look(workers, living).left


def look(
    workers: Iterable[Ended],
    living: Living = NOTHING_LIVES,
    at_sight: Callable[[Left], object] = lambda _left: None,
    *,
    of_nobody: bool = False,
) -> Look:
    """Return everything that is left of the process trees of workers that have ended, and nothing that is not theirs.

    Beside it what wears a mark of this home that no live incarnation has, or has spoiled its mark: of those that began
    after the first of `workers`, or of_nobody: of all. at_sight: told of most of them at once. Takes some 10 µs for
    each process of the host that is no worker. Raises OSError when it cannot be looked.
    """
    workers = list(workers)
    since = 0 if of_nobody else min((worker.started_at for worker in workers), default=0)
    owners = _Owners(workers, living)
    processes: dict[int, Left] = {}
    odd: list[tuple[Left, Worn]] = []
    left: dict[int, Left] = {}
    unclear = False
    for pid in sorted(pids(), reverse=True):  # the youngest first: what begets others is there
        if pid in living.workers:
            continue
        process, is_lost = _look(pid)
        unclear |= is_lost and owners.may_have(pid, process, of_nobody=of_nobody)
        if process is None or is_lost:
            continue
        processes[pid] = process
        if process.started_at < since:
            continue
        limits = read_proc(pid, "limits")
        unclear |= not limits
        worn = worn_in(limits)
        is_left, worker = owners.find(process, worn)
        if is_left:
            left[pid] = replace(process, worker=worker)
            at_sight(left[pid])
        elif worn.spoiled or worn.worker is not None:
            odd.append((process, worn))
    found = [process for process, worn in odd if owners.is_disguised(process, worn, processes)]
    found += [replace(p, worker=owners.of_session(p)) for p in owners.in_sessions(processes) if p.pid not in left]
    for each in found:
        at_sight(each)
    return Look([*left.values(), *found], unclear)


class _Owners:
    """Whose a process is."""

    def __init__(self, workers: list[Ended], living: Living) -> None:
        self._living = living
        self._by_pid = {worker.pid: worker for worker in workers}
        self._by_number = {worker.number: worker for worker in workers if worker.number is not None}
        self._by_uid = {worker.own_uid: worker for worker in workers if worker.own_uid is not None}
        cgroups = ((worker, worker.cgroup) for worker in workers)
        self._by_cgroup = {pid: worker for worker, cgroup in cgroups if cgroup for pid in pids_in(cgroup)}
        self._numbers: Collection[int] | None = None

    def find(self, process: Left, worn: Worn) -> tuple[bool, Ended | None]:
        """Return whether a process is left of somebody, and of whom if that is known."""
        if worn.worker is not None and worn.home == self._living.home:
            worker = self._by_number.get(worn.worker)
            return worker is not None or self._is_of_nobody(process, worn.worker), worker
        worker = self._by_cgroup.get(process.pid)
        if worker is None and self._by_uid and worn.worker is None:  # two homes may have been given the same users
            worker = self._by_uid.get(uid_of(process.pid))
        return worker is not None, worker

    def may_have(self, pid: int, process: Left | None, *, of_nobody: bool) -> bool:
        """Return whether a process that has ended lately can be left of somebody, and have begotten others.

        The kernel shows its limits, user and session for as long as nobody has asked how it ended. process: None: for
        no longer.
        """
        if process is None or pid in self._by_pid:
            return pid not in self._by_pid
        worn = worn_by(pid)
        if worn.worker is not None and worn.home == self._living.home:
            return of_nobody or worn.worker in self._by_number
        return worn.spoiled or process.session in self._by_pid or uid_of(pid) in self._by_uid

    def _is_of_nobody(self, process: Left, number: int) -> bool:
        if process.started_at > self._living.at - SETTLED_TICKS:
            return False
        if self._numbers is None:
            self._numbers = self._living.numbers()
        return number not in self._numbers

    def is_disguised(self, process: Left, worn: Worn, processes: dict[int, Left]) -> bool:
        """Return whether it spoiled its mark, or made that of another home of it, and no live worker is above it."""
        if worn.home == self._living.home or (not worn.spoiled and uid_of(process.pid) == 0):
            return False
        seen: set[int] = set()
        above = process.parent
        while above not in seen:
            if above in self._living.workers:
                return False
            if above in self._living.roots:
                return True
            seen.add(above)
            parent = processes.get(above)
            above = 0 if parent is None else parent.parent
        return False

    def of_session(self, process: Left) -> Ended | None:
        """Return the worker whose session a process is in."""
        return self._by_pid.get(process.session)

    def in_sessions(self, processes: dict[int, Left]) -> list[Left]:
        """Return what is left in the sessions of the workers."""
        sessions: dict[int, list[Left]] = defaultdict(list)
        strangers = set()
        for found in processes.values():
            worker = self._by_pid.get(found.session)
            if worker is None:
                continue
            if found.pid == worker.pid and found.started_at != worker.started_at:
                strangers.add(worker.pid)
            elif (
                found.pid != worker.pid
                and found.started_at >= worker.started_at
                and uid_of(found.pid) in worker.uids
                and worn_by(found.pid).worker is None  # whoever wears a mark is known by that
            ):
                sessions[worker.pid].append(found)
        left = []
        for pid, members in sessions.items():
            if pid in strangers:
                continue
            if min(member.started_at for member in members) <= self._by_pid[pid].alive_at:
                left += members
            else:
                unproven = [member.pid for member in members]
                log.warning("worker.remains_unproven", bot=self._by_pid[pid].bot, pids=unproven)
        return left


def _look(pid: int) -> tuple[Left | None, bool]:
    """Return a process, None if nothing is shown of it any longer; and whether it lived a moment ago, and has ended.

    None without that: it ended long ago. Raises OSError.

    Source: proc(5), /proc/PID/stat, fields 4 (ppid), 6 (session) and 22 (starttime); the second is any bytes.
    """
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    if not fields:
        return None, True
    ended = is_over(fields)
    if ended and not is_fresh(fields):  # it may lie there for ever
        return None, False
    return Left(pid, int(fields[19]), int(fields[3]), int(fields[1])), ended
