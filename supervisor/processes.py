"""A process is pid *and* start time, held by a pidfd: its exit is seen at once, and a signal cannot miss.

Only ESRCH means that a process is gone. Whatever else a look is answered with (no descriptor left, a kernel or a
seccomp profile without pidfds, a /proc that does not show it) says nothing about the process: it is looked at again.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from flotilla.processes import is_there, start_ticks

POLL_S = 0.5
"""How often a process is looked at for which there is no pidfd: 1,000 of them take about 2 % of a core."""

NO_PIDFD = -1


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal. Source: proc(5), /proc/PID/status, SigCgt.

    A worker that another release started, or that has only just been forked, may have none and would die of it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
        caught = int(status.partition(b"\nSigCgt:")[2].split(maxsplit=1)[0], 16)
    except (OSError, IndexError, ValueError):
        return False
    return bool(caught >> (number - 1) & 1)


class WorkerProcess:
    """One live worker process, held by a pidfd: signals cannot hit a stranger that got its pid later.

    Where no pidfd is to be had it is polled instead, and its start time is compared before each signal; a pidfd is
    taken as soon as there is one. So it may be noticed `POLL_S` later that it has ended, and nothing else changes.
    """

    def __init__(self, pid: int, started_at: int | None, descriptor: int) -> None:
        self.pid = pid
        self._started_at = started_at
        self._descriptor = descriptor
        self._on_exit: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._released = False

    @classmethod
    def find(cls, pid: int, started_at: int | None) -> "WorkerProcess | None":
        """Return the process with this pid and start time, or None if it is gone.

        started_at None: whatever has the pid now. One that cannot be looked at now is taken for itself.
        """
        descriptor = _pidfd(pid)
        if descriptor is None:
            return None
        try:
            found = start_ticks(pid)
        except OSError:
            return cls(pid, started_at, descriptor)
        if found is None or (started_at is not None and found != started_at):
            _close(descriptor)
            return None
        return cls(pid, found, descriptor)

    @property
    def held(self) -> bool:
        """Whether it has not been let go of, and had not ended when it was looked at last."""
        return not self._released

    @property
    def started_at(self) -> int | None:
        """When it started, in clock ticks since boot; None while that cannot be looked at."""
        if self._started_at is None and not self._released:
            with contextlib.suppress(OSError):
                self._started_at = start_ticks(self.pid)
        return self._started_at

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` once, when the process has ended, and let go of it."""
        self._on_exit = on_exit
        if not self._watch_pidfd():
            self._poll_later()

    def _watch_pidfd(self) -> bool:
        if self._descriptor == NO_PIDFD:
            return False
        try:
            asyncio.get_running_loop().add_reader(self._descriptor, self._ended)
        except OSError:  # the kernel has no room for one more to watch
            return False
        return True

    def _poll_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        if self._descriptor == NO_PIDFD:
            descriptor = _pidfd(self.pid)
            if descriptor is None:
                return self._ended()
            self._descriptor = descriptor
        try:
            found = start_ticks(self.pid)
        except OSError:
            found = self._started_at
        else:
            if found is None or self._started_at not in {None, found}:
                return self._ended()
            self._started_at = found
        if not self._watch_pidfd():
            self._poll_later()
        return None

    def _ended(self) -> None:
        self.release()
        if self._on_exit is not None:
            self._on_exit()

    def release(self) -> None:
        """Stop watching; the process lives on. Safe to call twice."""
        self._released = True
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor != NO_PIDFD:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            _close(self._descriptor)
            self._descriptor = NO_PIDFD

    def terminate(self) -> None:
        """Send SIGTERM to the worker."""
        self._signal(signal.SIGTERM)

    def hand_over(self) -> None:
        """Ask the worker to leave its session to the next one."""
        self._signal(signal.SIGUSR1)

    def dump_stacks(self) -> bool:
        """Have the worker write its stacks to its log; return False if it cannot."""
        return catches(self.pid, signal.SIGUSR2) and self._signal(signal.SIGUSR2)

    def kill(self) -> None:
        """Send SIGKILL to the worker and to everything in its process group."""
        if self._signal(signal.SIGKILL):
            try:
                # The leader is dead or dying and not reaped yet, so its group's id is still its own.
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return

    def _signal(self, number: signal.Signals) -> bool:
        """Return whether the signal was sent. Whoever wants it to arrive asks again when nothing comes of it."""
        if self._released:
            return False
        if self._descriptor != NO_PIDFD:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                return False
            except OSError:
                return self._signal_by_pid(number)  # refused as such: by a seccomp profile
            return True
        return self._signal_by_pid(number)

    def _signal_by_pid(self, number: signal.Signals) -> bool:
        try:
            if self._started_at is None or start_ticks(self.pid) != self._started_at:
                return False  # rather no signal than one to a stranger
            os.kill(self.pid, number)
        except OSError:
            return False
        return True


def signal_alone(pid: int, started_at: int, number: signal.Signals) -> bool:
    """Send a signal to this process and no other that has its number by now; return whether it is there.

    Raises OSError; may be called in any thread.
    """
    descriptor = _pidfd(pid)
    if descriptor is None:
        return False
    try:
        if start_ticks(pid) != started_at:
            return False
        if descriptor == NO_PIDFD:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        _close(descriptor)
    return True


def _pidfd(pid: int) -> int | None:
    """Return a pidfd of a process, `NO_PIDFD` if there is none to be had now or at all, None if the process is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except (OSError, AttributeError):  # AttributeError: this Python was built for a kernel without
        return NO_PIDFD if is_there(pid) else None


def _close(descriptor: int) -> None:
    if descriptor != NO_PIDFD:
        os.close(descriptor)
