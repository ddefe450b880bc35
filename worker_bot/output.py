"""Where a worker's output goes: straight to the bot's log, each line of it with its time, and without secrets."""

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from flotilla.botlog import stamp
from flotilla.redaction import redact_hidden, redact_text
from worker_bot.confinement import make_folder, name_of

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_FILE_LIMIT = (
    "A file has reached the largest size that a bot's files may have. Bound what grows, or raise FLOTILLA_BOT_FILE_MB."
)
log = logging.getLogger("flotilla")


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


class _Hiding(io.BufferedWriter):
    """Keeps the bot's token and secrets out of what it prints: what one call writes is looked through as a whole."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        with memoryview(data) as view:
            written = view.nbytes
            super().write(redact_hidden(bytes(view)))
        return written


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's own
        """Return the traceback, with a sentence on a limit that the error itself does not name."""
        text = super().formatException(ei)
        return f"{text}\n{_FILE_LIMIT}" if _is_file_limit(ei[1]) else text

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the time with its distance from UTC, which may change while a process runs."""
        del datefmt
        return stamp(record.created)


def _is_file_limit(error: BaseException | None) -> bool:
    """Return whether a file's size was at its limit when this was raised, or what led to this."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def redirect_output(path: Path) -> "Output":
    """Send stdout and stderr, also those of C code and child processes, to the bot's log.

    O_APPEND: the supervisor cuts the file under its writers (supervisor/botlogs.py). A folder that is gone is made
    anew. A log that cannot be opened all the same must not keep a bot from its users: what it prints is lost until it
    can. Raises OSError if there is nowhere to print to at all.
    """
    null, error = os.open(os.devnull, os.O_RDWR), ""
    try:
        descriptor = _open_log(path)
    except OSError as fault:
        descriptor, error = null, name_of(fault)
    opened = os.fstat(descriptor)
    for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    for left in {null, descriptor}:
        os.close(left)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    return Output(path, opened, error)


def _open_log(path: Path) -> int:
    try:
        return os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:
        make_folder(path.parent)
        return os.open(path, _FLAGS, 0o600)


class Output:
    """The log that stdout and stderr go to, and go on to when somebody moved or removed it.

    opened: what they go to now. error: name of what kept the log from being opened, empty if nothing did.
    """

    def __init__(self, path: Path, opened: os.stat_result, error: str = "") -> None:
        self._path = path
        self._opened = opened
        self.error = error
        self.fetch: Callable[[Callable[[int], None]], None] | None = None
        """Has the log opened by whom it may be opened, where this worker may not; told what to do with it."""

    def look(self) -> None:
        """Open the log anew if another file, or none, lies where it was: moved files are found by nobody.

        Child processes of the bot write to the moved file until they end. A bot that sends its output elsewhere is left
        alone.
        """
        try:
            if os.path.samestat(os.stat(self._path), self._opened):  # noqa: PTH116 - half the time, each second
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        with contextlib.suppress(OSError):  # it is tried again with the next heartbeat
            self._open()

    def _open(self) -> None:
        try:
            descriptor = _open_log(self._path)
        except OSError:
            if self.fetch is None:
                raise
            self.fetch(self._go_on)
            return
        try:
            self._go_on(descriptor)
        finally:
            os.close(descriptor)

    def _go_on(self, descriptor: int) -> None:
        for target in (1, 2):
            if os.path.samestat(os.fstat(target), self._opened):
                os.dup2(descriptor, target)
        self._opened = os.fstat(descriptor)
        log.info("the log was moved or removed, and goes on here")


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    binary = _Hiding(_Unfailing(descriptor))
    return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def configure_logging(stream: TextIO) -> None:
    """Let all that is logged go to `stream`, without tokens."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if root.level != logging.INFO:  # to set it touches every logger there is
        root.setLevel(logging.INFO)
