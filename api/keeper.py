"""The API's outer process: it holds the sockets on which the inner one serves, and starts the next when that dies.

So a restart refuses no connection: who connects meanwhile waits in the kernel's queue. It reads no setting, imports
nothing of ours and does nothing else, so that nothing can end it and it costs a few megabytes. The inner process makes
the sockets and hands them up; the outer one hands them down to its successors.

| What | Then |
|---|---|
| SIGTERM, SIGINT, SIGHUP, SIGQUIT | it ends the inner process, then itself |
| SIGUSR2 | it ends the inner process, becomes the code that lies on the disk, and goes on with the same sockets |
| the inner process ends in order (0), or will never run (78) | it ends with the same exit code |
| the inner process crashes or is killed | it starts the next one, at most one a second |
| the outer process is killed | the kernel ends the inner one; what started them starts them anew |
"""

import array
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

EX_CONFIG = 78
"""As `flotilla.program`'s."""

PAUSE_S = 1.0
"""Between two starts, as supervisord does it."""

STOP_S = 10.0
"""What an inner process may take to end before it is killed. Where supervisord stops both, it kills both sooner."""

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
RENEW = signal.SIGUSR2
MESSAGE_BYTES = 256


class Keeper:
    """Runs `command` with the numbers of its sockets behind it until there is a reason to end.

    held: the sockets, by name; what an inner process hands up replaces what had the same name.
    """

    def __init__(self, command: Sequence[str], held: dict[str, int]) -> None:
        self._command = list(command)
        self._held = held
        self._parent = os.getppid()
        self._signals, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        for number in (*STOPS, RENEW, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN or number is signal.SIGCHLD:  # nohup's stays ignored
                signal.signal(number, _do_nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOPS, RENEW})
        self._asked: signal.Signals | None = None

    def run(self) -> int:
        """Return the exit code with which this process is to end."""
        while True:
            began = time.monotonic()
            code = self._one_run()
            if self._asked is RENEW:
                self._become_new()
            if self._asked is not None or code in {0, EX_CONFIG} or not self._held or self._is_alone():
                return code if code >= 0 else 128 - code
            self._wait_until(began + PAUSE_S)

    def _one_run(self) -> int:
        """Run the inner process once; return how it ended."""
        if self._asked is not None:
            return 0
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [f"{name}={descriptor}" for name, descriptor in self._held.items()]
        command = [*self._command, str(os.getpid()), str(theirs.fileno()), *words]
        handed = [theirs.fileno(), *self._held.values()]
        with channel, subprocess.Popen(command, pass_fds=handed) as inner:  # noqa: S603 - our own command
            theirs.close()
            return self._watch(inner, channel)

    def _watch(self, inner: "subprocess.Popen[bytes]", channel: socket.socket) -> int:
        kill_at: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            selector.register(channel, selectors.EVENT_READ)
            while inner.poll() is None:
                ready = selector.select(None if kill_at is None else max(0.0, kill_at - time.monotonic()))
                for key, _ in ready:
                    if key.fileobj is channel and not self._take(channel):
                        selector.unregister(channel)
                self._heed()
                if self._asked is not None and kill_at is None:
                    kill_at = time.monotonic() + STOP_S
                    inner.terminate()
                elif kill_at is not None and time.monotonic() >= kill_at:
                    inner.kill()
                    kill_at += STOP_S
        return int(inner.returncode)

    def _heed(self) -> None:
        """Remember what was asked for; to stop is stronger than to renew."""
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._signals, 64):
                if number in STOPS:
                    self._asked = signal.Signals(number)
                elif number == RENEW and self._asked is None:
                    self._asked = RENEW

    def _take(self, channel: socket.socket) -> bool:
        """Take a socket that is handed up under a name; return False when the other end is closed."""
        space = socket.CMSG_SPACE(array.array("i").itemsize)
        try:
            name, ancillary, _, _ = channel.recvmsg(MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                (descriptor,) = array.array("i", data)
                self._hold(name.decode(), descriptor)
        return bool(name)

    def _hold(self, name: str, descriptor: int) -> None:
        what = name.partition(":")[0]
        for known in [known for known in self._held if known.partition(":")[0] == what]:
            os.close(self._held.pop(known))
        self._held[name] = descriptor

    def _is_alone(self) -> bool:
        """Return whether what started this process is gone: nobody could end an API that comes back for ever."""
        return os.getppid() != self._parent

    def _wait_until(self, moment: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            while self._asked is None and (left := moment - time.monotonic()) > 0:
                if selector.select(left):
                    self._heed()

    def _become_new(self) -> None:
        """Become what `python -m api` is now, as the same process with the same sockets. Never returns."""
        # Until the new code listens to them, signals wait: SIGUSR2 would end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPS, RENEW})
        for descriptor in self._held.values():
            os.set_inheritable(descriptor, True)
        words = [f"{name}={descriptor}" for name, descriptor in self._held.items()]
        os.execv(sys.executable, [sys.executable, *python_flags(), "-m", "api", *words])  # noqa: S606 - no shell


def _do_nothing(_number: int, _frame: object) -> None:
    """Let the signal be written to the pipe."""


def python_flags() -> list[str]:
    """Return the flags with which this Python was started and the next one should be."""
    return ["-P"] if sys.flags.safe_path else []


def parse_held(words: Sequence[str]) -> dict[str, int]:
    """Return the sockets that are named in a command line, by name."""
    pairs = (word.rpartition("=") for word in words)
    return {name: int(number) for name, _, number in pairs}
