"""Processes as the kernel has them: a pid *and* a start time, an exit seen at once, signals that cannot miss."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from flotilla.processes import start_ticks


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
    """One live worker process, held by a pidfd: signals cannot hit a stranger that got its pid later."""

    def __init__(self, pid: int, started_at: int, descriptor: int) -> None:
        self.pid = pid
        self.started_at = started_at
        self._descriptor = descriptor

    @classmethod
    def find(cls, pid: int, started_at: int | None) -> "WorkerProcess | None":
        """Return the live process with this pid and start time, or None. started_at None: whatever has the pid now."""
        try:
            descriptor = os.pidfd_open(pid)
        except (ProcessLookupError, OSError):
            return None
        found = start_ticks(pid)
        if found is None or (started_at is not None and found != started_at):
            os.close(descriptor)
            return None
        return cls(pid, found, descriptor)

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` once, when the process has ended, and let go of it."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            self.release()
            on_exit()

        loop.add_reader(self._descriptor, ended)

    def release(self) -> None:
        """Stop watching; the process lives on. Safe to call twice."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

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
        if self._descriptor < 0:
            return False
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        return True
