"""The fork server: imports and warms everything once, then forks a worker per bot.

`python -m worker_bot.forkserver FD`, where FD is one end of a socket pair whose other end the supervisor
has. It serves without threads and without an event loop, since neither survives a fork, and never sees a token. When
the supervisor is gone it ends; the workers stay.
"""

import contextlib
import errno
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import setproctitle

from flotilla.hardening import adopt_orphans, harden
from flotilla.processes import start_ticks
from flotilla.protocol import (
    VERSION,
    Fork,
    Forked,
    ForkFailed,
    FrameDecoder,
    Ping,
    Pong,
    Preload,
    Preloaded,
    Reaped,
    Warm,
    encode,
    to_fork_server,
)
from worker_bot.child import become_worker
from worker_bot.confinement import begin_walls
from worker_bot.memory import freeze, merge_identical_pages
from worker_bot.preload import preload
from worker_bot.prepared import prepare
from worker_bot.warmup import warm_up

READ_BYTES = 64 * 1024
REAPED_AT_ONCE = 256


class ForkServer:
    """Answers every `Fork` with `Forked` or `ForkFailed`, and tells the exit code of every child as `Reaped`."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        self._decoder = FrameDecoder()
        self._workers: set[int] = set()

    def serve(self) -> None:
        """Fork and reap until the supervisor closes its end."""
        poller = select.poll()
        poller.register(self._supervisor, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        all_reaped = True
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(None if all_reaped else 0)}
            if self._wake_read in ready:
                os.read(self._wake_read, READ_BYTES)
            all_reaped = self._reap()
            if self._supervisor.fileno() in ready and not self._take_orders():
                return

    def _take_orders(self) -> bool:
        received = self._supervisor.recv(READ_BYTES)
        for body in self._decoder.feed(received):
            order = to_fork_server.decode(body)
            match order:
                case Preload():
                    self._preload(order)
                case Ping():
                    self._supervisor.sendall(encode(Pong()))
                case _:
                    self._fork(order)
        return bool(received)

    def _preload(self, order: Preload) -> None:
        # The supervisor asks where it is when an import does not end. Workers have an answer of their own to that.
        faulthandler.register(signal.SIGUSR2)
        fault = preload(order.modules, order.path, order.timeout_s, self._descriptors(), order.secret_names)
        faulthandler.unregister(signal.SIGUSR2)
        prepare(order.modules)
        freeze()
        if order.merge_memory and not merge_identical_pages():
            sys.stderr.write("the kernel does not merge identical pages: it is too old, or this is not root\n")
        # What an extension printed must not be printed again by every worker.
        sys.stdout.flush()
        sys.stderr.flush()
        self._supervisor.sendall(encode(Preloaded(fault)))

    def _fork(self, order: Fork) -> None:
        ruleset = None
        try:
            ruleset = begin_walls(order.bounds)
            pid = os.fork()
        except OSError as fault:
            if ruleset is not None:
                ruleset.close()
            why = errno.errorcode.get(fault.errno or 0, "unknown")
            self._supervisor.sendall(encode(ForkFailed(order.bot_id, order.generation, why)))
            return
        if pid == 0:
            code = become_worker(order, self._descriptors(), ruleset)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        self._workers.add(pid)
        if ruleset is not None:
            ruleset.close()
        self._supervisor.sendall(encode(Forked(order.bot_id, order.generation, pid, _started_at(pid))))

    def _descriptors(self) -> tuple[int, ...]:
        return (self._supervisor.fileno(), self._wake_read, self._wake_write)

    def _reap(self) -> bool:
        """Tell the exit of every worker; return whether nothing was left to reap.

        What a bot left in its group is killed before its pid, and so its group's id, is free again. Orphans of bots
        come here to be reaped, too; so many of them may end that orders must have their turn.
        """
        for _ in range(REAPED_AT_ONCE):
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return True
            if ended is None:
                return True
            if ended.si_pid not in self._workers:
                os.waitpid(ended.si_pid, 0)
                continue
            self._workers.discard(ended.si_pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it died before it had a group of its own
                os.killpg(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            self._supervisor.sendall(encode(Reaped(ended.si_pid, os.waitstatus_to_exitcode(status))))
        return False


def _started_at(pid: int) -> int:
    """Return a process's start time in clock ticks since boot.

    0 if it has ended already, or cannot be looked at for want of descriptors: the supervisor looks by itself then.
    """
    try:
        return start_ticks(pid) or 0
    except OSError:
        return 0


def _ignore(_number: int, _frame: object) -> None:
    """SIGCHLD must have a handler, or it would not wake the poll."""


def main() -> None:
    """Warm up, then serve on the descriptor given as the only argument."""
    harden()
    adopt_orphans()  # what a bot leaves is known by its parent then, whatever else it changes
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(supervisor.fileno(), False)
    setproctitle.setproctitle("flotilla: fork server")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("LD_BIND_NOW", None)  # has had its effect (supervisor/zygote.py)
    logging.getLogger().setLevel(logging.INFO)  # as in workers, which then need not change it
    began = time.monotonic()
    warm_up()
    if threading.active_count() != 1 or len(list(Path("/proc/self/task").iterdir())) != 1:
        sys.exit("the fork server has a thread and must not fork")
    server = ForkServer(supervisor)
    freeze()
    try:
        supervisor.sendall(encode(Warm(time.monotonic() - began, VERSION)))
        server.serve()
    except (BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
