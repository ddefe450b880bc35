"""The command line. Every expected fault ends as one sentence and an exit code, never as a traceback.

Exit codes: 0 done · 1 refused, failed or not reachable · 2 wrong usage · 69 something this needs is away · 78 this
installation is misconfigured (69 and 78 as in sysexits.h) · 130 interrupted.
"""

import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.redaction import redact_text

EX_FAILED = 1
EX_UNAVAILABLE = 69
EX_CONFIG = 78
EX_INTERRUPTED = 130


def main() -> int:
    """Run the command of `sys.argv`; return the process's exit code."""
    try:
        from flotilla.cli.app import app  # noqa: PLC0415 - an import that fails must end as a sentence too

        app(prog_name="flotilla")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EX_FAILED
    except FlotillaError as fault:
        _complain(fault.message)
        return exit_code_of(fault)
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone (`flotilla bots ls | head`); closing stdout later must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_FAILED
    except Exception as fault:  # noqa: BLE001 - the promise above holds for what nobody expected, too
        _complain(f"This should not have happened: {type(fault).__name__}. {_keep_details()}")
        return EX_FAILED
    return 0


def exit_code_of(fault: FlotillaError) -> int:
    """Return the exit code that tells scripts what kind of fault it was."""
    if isinstance(fault, SetupError):
        return EX_CONFIG
    return EX_UNAVAILABLE if isinstance(fault, RetryError) else EX_FAILED


def _complain(sentence: str) -> None:
    print(f"flotilla: {redact_text(sentence)}", file=sys.stderr)


def _keep_details() -> str:
    """Write the traceback of the current exception where an operator can find it; return a sentence that says where."""
    details = f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv[1:3])}\n{traceback.format_exc()}\n"
    for folder in (Path(os.environ.get("FLOTILLA_HOME") or "var").absolute() / "logs", Path(tempfile.gettempdir())):
        path = folder / ("cli.log" if folder.name == "logs" else f"flotilla-cli-{os.getuid()}.log")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        with os.fdopen(descriptor, "a") as file:
            file.write(redact_text(details))
        return f"The details are in {path}; please report them."
    return "The details could not be written anywhere."
