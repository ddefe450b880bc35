"""What a forked child does to become a process of its own before it runs a bot."""

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
from flotilla.protocol import EXIT_HOST_FAULT, EXIT_OUT_OF_MEMORY, Fork, Without
from flotilla.redaction import redact_text
from worker_bot import forked
from worker_bot.confinement import confine, make_folder, name_of
from worker_bot.life import live
from worker_bot.memory import use_one_heap
from worker_bot.worker import EXIT_FAILED


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
    lacks: list[Without] = []
    try:
        fork = _become_own_process(fork, inherited, lacks)
    except OSError:
        _say(traceback.format_exc())
        return EXIT_HOST_FAULT
    except MemoryError:
        return EXIT_OUT_OF_MEMORY
    try:
        return live(fork, lacks)
    except MemoryError:
        _say("the worker has reached its memory limit\n")
        return EXIT_OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - nothing may escape into the fork server's loop in the child
        _say(redact_text(traceback.format_exc()))
        return EXIT_FAILED


def _become_own_process(fork: Fork, inherited: Iterable[int], lacks: list[Without]) -> Fork:
    """Return the order with paths that can still be reached. Raises OSError: the host does not let it be a worker."""
    os.setsid()
    for descriptor in inherited:
        os.close(descriptor)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if error := redirect_output(Path(fork.log_path)):
        lacks.append(Without("log", error))
    fork = confine(fork, lacks)
    forbid_core_dumps()
    setproctitle.setproctitle(f"flotilla: bot {fork.name} (generation {fork.generation})")
    use_one_heap()
    configure_logging(sys.stderr)
    forked.install()
    return fork


def _say(text: str) -> None:
    with contextlib.suppress(OSError, MemoryError):
        sys.stderr.write(text)


def redirect_output(path: Path) -> str:
    """Send stdout and stderr, also those of C code and child processes, to the bot's log.

    O_APPEND: the supervisor cuts the file under its writers (supervisor/botlogs.py). A folder that is gone is made
    anew. A log that cannot be opened all the same must not keep a bot from its users: what it prints is lost then, and
    the name of the error is returned, else an empty string. Raises OSError if there is nowhere to print to at all.
    """
    null, error = os.open(os.devnull, os.O_RDWR), ""
    try:
        descriptor = _open_log(path)
    except OSError as fault:
        descriptor, error = null, name_of(fault)
    for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    for left in {null, descriptor}:
        os.close(left)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    return error


def _open_log(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_folder(path.parent)
        return os.open(path, flags, 0o600)


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
