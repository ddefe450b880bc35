"""What a process that a bot's code forks off must not have of its worker: signals, and the control connection.

A fork copies the worker's signal handlers, and the descriptor by which its event loop hears of signals is one and the
same in both: a signal that is meant to end the helper would end the worker, and the helper would go on (Python 3.11).
"""

import contextlib
import os
import signal
import threading
from typing import Final

from worker_bot import stacks

WORKERS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""What a worker handles itself; in a helper they do what they do in any process."""

_private: set[int] = set()
_before = threading.local()


def keep_private(descriptor: int) -> None:
    """Let no helper that is forked from now on have a descriptor: the other end would not see this process end."""
    _private.add(descriptor)


def forget(descriptor: int) -> None:
    """A descriptor is closed."""
    _private.discard(descriptor)


def install() -> None:
    """Look after all forks of this process from now on. For a worker alone, once: it cannot be taken back."""
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_become_helper)


def _hold_signals() -> None:
    # A signal that comes before the helper has its own handlers would still be the worker's.
    _before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, WORKERS)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before.mask)


def _become_helper() -> None:
    with contextlib.suppress(ValueError, OSError):
        signal.set_wakeup_fd(-1)
        stacks.uninstall()
        for number in signal.valid_signals():
            if number in WORKERS or _is_of_a_loop(number):
                signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in _private:  # its number stays taken, for the objects that were copied believe in it
        with contextlib.suppress(OSError):
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _let_signals()


def _is_of_a_loop(number: int) -> bool:
    """Return whether an event loop of asyncio hears a signal by the wake-up descriptor alone."""
    return getattr(signal.getsignal(number), "__module__", "") == "asyncio.unix_events"
