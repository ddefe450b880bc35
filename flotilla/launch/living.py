"""What of one home lives, by what the kernel says: programs, fork servers, workers, and what workers started."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from flotilla.mark import Worn, mark_of, worn_in
from flotilla.processes import is_fresh, is_over, pids, read_proc, title, uid_of
from flotilla.settings import Settings

SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Process:
    """A live process. started_at: in clock ticks since boot; pid and started_at together are one process for ever."""

    pid: int
    started_at: int
    parent: int
    session: int
    state: str

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger holds it: it gets no other signal than SIGKILL and SIGCONT."""
        return self.state in "Tt"


@dataclass(frozen=True, slots=True)
class Look:
    """What lives. unclear: something ended before anybody could tell whose it was, and may have begotten others."""

    processes: list[Process]
    unclear: bool


def find(pid: int) -> Process | None:
    """Return a live process, or None if it is gone. A zombie is gone. Raises OSError."""
    return _look(pid)[0]


def living(settings: Settings, known: Collection[int] = ()) -> list[Process]:
    """Return every live process of this home but this one and those above it, as `look` does."""
    return look(settings, known).processes


def look(
    settings: Settings, known: Collection[int] = (), at_sight: Callable[[Process], object] = lambda _process: None
) -> Look:
    """Return every live process of this home but this one and those above it, in the order of their pids.

    A process is the home's by its mark, by a user that is a bot's alone, as a descendant of one that is, or by its
    session's leader. known: pids that are the home's by other signs, as those of a release without a mark; whoever
    wears another home's mark is left out. at_sight: told at once of what bots have started. Raises OSError.
    """
    mark, users = mark_of(settings.home), bot_users(settings)
    processes: dict[int, Process] = {}
    worn: dict[int, Worn] = {}
    unclear, depth, above = False, _depth("self"), _self_and_above()
    for pid in sorted(pids(), reverse=True):  # the youngest first: what begets others is there
        process, is_lost = _look(pid)
        if process is None:
            unclear |= is_lost
            continue
        limits = read_proc(pid, "limits")
        unclear |= not limits
        found = worn_in(limits)
        if found.worker is not None and found.home == mark and pid not in above:
            at_sight(process)
        if _depth(str(pid)) in {depth, 0}:  # not what runs in a container within, which may have a home of this name
            processes[pid], worn[pid] = process, found
    ours = _ours(processes, worn, mark, known, users)
    return Look([processes[pid] for pid in sorted(ours - above)], unclear)


def _look(pid: int) -> tuple[Process | None, bool]:
    """Return a live process, None if it is gone, and then whether it lived a moment ago. Raises OSError.

    Source: proc(5), /proc/PID/stat; its second field is the process's own, and any bytes.
    """
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    if not fields:
        return None, True
    if is_over(fields):
        return None, is_fresh(fields)
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0].decode()), False


def lives(process: Process) -> bool:
    """Return whether a process that was found is still there, and no other has got its pid."""
    found = find(process.pid)
    return found is not None and found.started_at == process.started_at


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to each that still lives, and let it run so that it can heed it. One of another user gets none."""
    for process in filter(lives, processes):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
            os.kill(process.pid, signal.SIGCONT)


def names(processes: Iterable[Process], programs: dict[int, str]) -> str:
    """Return processes as a person reads them. programs: the names of those that are programs, by pid."""
    shown = [f"{programs.get(process.pid) or title(process.pid)} ({process.pid})" for process in processes]
    more = len(shown) - SHOWN_NAMES
    return ", ".join(shown[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _ours(
    processes: dict[int, Process], worn: dict[int, Worn], mark: int, known: Collection[int], users: Collection[int]
) -> set[int]:
    # What was a worker's mark and is spoiled may look like another home's; by the kernel, only root makes a valid one.
    homes = {pid: None if found.worker is not None and _may_forge(pid) else found.home for pid, found in worn.items()}
    ours = {pid for pid, found in worn.items() if found.home == mark}
    ours |= {pid for pid in known if pid in processes and homes[pid] is None}
    if users:
        ours |= {pid for pid in processes if worn[pid].home is None and uid_of(pid) in users}
    size = -1
    while size != len(ours):
        size = len(ours)
        ours |= {
            process.pid
            for process in processes.values()
            if homes[process.pid] is None and (process.parent in ours or process.session in ours)
        }
    return ours


def _may_forge(pid: int) -> bool:
    return uid_of(pid) != 0


def bot_users(settings: Settings) -> set[int]:
    """Return the users that are bots' of this home alone; none if there are no such, or nobody knows them."""
    try:
        return set(map(int, json.loads(settings.uid_file.read_text())["uids"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _depth(pid: str) -> int:
    """Return how many namespaces of pids lie around a process. Source: proc(5), /proc/PID/status, NSpid."""
    try:
        return len(Path(f"/proc/{pid}/status").read_bytes().partition(b"\nNSpid:")[2].partition(b"\n")[0].split())
    except OSError:
        return 0


def _self_and_above() -> set[int]:
    above: set[int] = set()
    process = find(os.getpid())
    while process is not None and process.pid not in above:
        above.add(process.pid)
        process = find(process.parent)
    return above
