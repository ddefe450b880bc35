"""What of one home lives, by what the kernel says: programs, fork servers, workers, and what workers started."""

import contextlib
import os
import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from flotilla.mark import mark_of, worn_mark
from flotilla.settings import Settings

SHOWN_NAMES = 10
_NAME_CHARS = 80


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


def find(pid: int) -> Process | None:
    """Return a live process, or None if it is gone. A zombie is gone. Source: proc(5), /proc/PID/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # its second field is the process's own, and any bytes
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent, _, session, *rest = stat.rpartition(b")")[2].split()
    if state in {b"Z", b"X"}:
        return None
    return Process(pid, int(rest[15]), int(parent), int(session), state.decode())


def living(settings: Settings, known: Collection[int] = ()) -> list[Process]:
    """Return every live process of this home but this one and those above it, in the order of their pids.

    A process is the home's by its mark, as a descendant of one that is, or by its session's leader. known: pids that
    are the home's by other signs, as those of a release without a mark; whoever wears another home's mark is left out.
    """
    processes = {process.pid: process for process in _all()}
    ours = _ours(processes, mark_of(settings.home), known)
    return [processes[pid] for pid in sorted(ours - _self_and_above(processes))]


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


def title(process: Process) -> str:
    """Return what a process calls itself, fit to be shown: it may be anything, and is believed nothing."""
    text = command_line(process.pid).replace(b"\0", b" ").decode(errors="replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)[:_NAME_CHARS] or "a process"


def command_line(pid: int) -> bytes:
    """Return the arguments of a process as it has them now, each with a NUL behind; nothing if there are none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def names(processes: Iterable[Process], programs: dict[int, str]) -> str:
    """Return processes as a person reads them. programs: the names of those that are programs, by pid."""
    shown = [f"{programs.get(process.pid) or title(process)} ({process.pid})" for process in processes]
    more = len(shown) - SHOWN_NAMES
    return ", ".join(shown[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _ours(processes: dict[int, Process], mark: int, known: Collection[int]) -> set[int]:
    marks = {pid: worn_mark(pid) for pid in processes}
    ours = {pid for pid in processes if marks[pid] == mark}
    ours |= {pid for pid in known if pid in processes and marks[pid] is None}
    size = -1
    while size != len(ours):
        size = len(ours)
        ours |= {
            process.pid
            for process in processes.values()
            if marks[process.pid] is None and (process.parent in ours or process.session in ours)
        }
    return ours


def _all() -> Iterable[Process]:
    """Yield what runs here; not what runs in a container within, which may have a home of the same name."""
    depth = _depth("self")
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            process = find(int(entry.name))
            if process is not None and _depth(entry.name) == depth:
                yield process


def _depth(pid: str) -> int:
    """Return how many namespaces of pids lie around a process. Source: proc(5), /proc/PID/status, NSpid."""
    try:
        return len(Path(f"/proc/{pid}/status").read_bytes().partition(b"\nNSpid:")[2].partition(b"\n")[0].split())
    except OSError:
        return 0


def _self_and_above(processes: dict[int, Process]) -> set[int]:
    above, pid = set(), os.getpid()
    while pid in processes and pid not in above:
        above.add(pid)
        pid = processes[pid].parent
    return above
