"""The command line. Every expected fault ends as one sentence and an exit code, never as a traceback.

Exit codes: 0 done · 1 refused, failed or not reachable · 2 wrong usage · 69 something this needs is away · 78 this
installation is misconfigured (69 and 78 as in sysexits.h) · 130 interrupted.
"""

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

import structlog

from flotilla.cli.terminal import guard_streams, say
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.hardening import harden
from flotilla.redaction import redact_text
from flotilla.streams import drop_output, mend_streams
from flotilla.surroundings import surroundings_fault

EX_FAILED = 1
EX_UNAVAILABLE = 69
EX_CONFIG = 78
EX_INTERRUPTED = 130


def main() -> int:
    """Run the command of `sys.argv`; return the process's exit code."""
    harden()
    mend_streams()
    guard_streams()
    _log_to_stderr()
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as fault:
        code = _output_lost(fault)
    return code


def _log_to_stderr() -> None:
    """Keep what the shared code logs, such as a file whose mode was mended, out of what a command prints."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )


def _run() -> int:
    try:
        from flotilla.cli.app import app  # noqa: PLC0415 - an import that fails must end as a sentence too

        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app(prog_name="flotilla")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EX_FAILED
    except FlotillaError as fault:
        _complain(fault.message)
        return exit_code_of(fault)
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    except BrokenPipeError as fault:
        return _output_lost(fault)
    except Exception as fault:  # noqa: BLE001 - the promise above holds for what nobody expected, too
        sentence = surroundings_fault(fault)
        if sentence is None:
            sentence = f"This should not have happened: {type(fault).__name__}. {_keep_details()}"
        _complain(sentence)
        return EX_FAILED
    return 0


def _output_lost(fault: OSError) -> int:
    """End quietly if whoever read our output is gone (`flotilla bots ls | head`); else say why it cannot be written."""
    if not isinstance(fault, BrokenPipeError):
        with contextlib.suppress(OSError):
            _complain(f"The output cannot be written ({fault.strerror}).")
    drop_output()
    return EX_FAILED


def exit_code_of(fault: FlotillaError) -> int:
    """Return the exit code that tells scripts what kind of fault it was."""
    if isinstance(fault, SetupError):
        return EX_CONFIG
    return EX_UNAVAILABLE if isinstance(fault, RetryError) else EX_FAILED


def _complain(sentence: str) -> None:
    try:
        say(f"flotilla: {redact_text(sentence)}", err=True, flush=True)
    except OSError:
        # Nobody hears it; the exit code still says it.
        drop_output()


def _keep_details() -> str:
    """Write the traceback of the current exception where an operator can find it; return a sentence that says where."""
    details = f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv[1:3])}\n{traceback.format_exc()}\n"
    home = Path(os.environ.get("FLOTILLA_HOME") or "var")
    for path in (home / "logs" / "cli.log", Path(_temporary_folder()) / f"flotilla-cli-{os.getuid()}.log"):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "a", errors="backslashreplace") as file:
                file.write(redact_text(details))
        except OSError:
            continue
        return f"The details are in {path}; please report them."
    return "The details could not be written anywhere."


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # no folder can be written to
        return os.devnull
