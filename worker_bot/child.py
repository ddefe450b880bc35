"""What a forked child does to become a process of its own before it runs a bot."""

import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import setproctitle

from flotilla.hardening import forbid_core_dumps
from flotilla.protocol import EXIT_OUT_OF_MEMORY, Fork
from flotilla.redaction import redact_text
from worker_bot import forked
from worker_bot.confinement import confine
from worker_bot.memory import use_one_heap
from worker_bot.worker import EXIT_FAILED, run_worker


class _Unfailing(io.RawIOBase):
    """A descriptor to which writing never fails: a full disk must not end a bot that prints.

    What does not fit is lost.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        with memoryview(data) as view:
            with contextlib.suppress(OSError):
                return os.write(self._descriptor, view)
            return view.nbytes


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


def become_worker(fork: Fork, inherited: Iterable[int]) -> int:
    """Run the worker that `fork` describes and return its exit code. Called in the child, right after the fork.

    inherited: the fork server's own file descriptors, which a worker must not hold.
    """
    try:
        os.setsid()
        for descriptor in inherited:
            os.close(descriptor)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        redirect_output(Path(fork.log_path))
        fork = confine(fork)
        forbid_core_dumps()
        setproctitle.setproctitle(f"flotilla: bot {fork.name} (generation {fork.generation})")
        use_one_heap()
        configure_logging(sys.stderr)
        forked.install()
        return asyncio.run(run_worker(fork))
    except MemoryError:
        with contextlib.suppress(OSError, MemoryError):
            sys.stderr.write("the worker has reached its memory limit\n")
        return EXIT_OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - nothing may escape into the fork server's loop in the child
        with contextlib.suppress(OSError):
            sys.stderr.write(redact_text(traceback.format_exc()))
        return EXIT_FAILED


def redirect_output(path: Path) -> None:
    """Send stdout and stderr, also those of C code and child processes, to the bot's log.

    O_APPEND: the supervisor cuts the file under its writers (supervisor/botlogs.py).
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(null)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    binary = io.BufferedWriter(_Unfailing(descriptor))
    return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def configure_logging(stream: TextIO) -> None:
    """Let all that is logged go to `stream`, without tokens."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if root.level != logging.INFO:  # to set it touches every logger there is
        root.setLevel(logging.INFO)
