"""Runs `worker_bot.check` in a process of its own, with a time limit, and hears how it went."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, Final

from flotilla.domain.environment import inherited, of_bots

STACK_WAIT_S: Final = 0.3
START_S: Final = 60.0
"""How long Flotilla's own part may take to start, before the author's time begins: 1 s on an idle machine."""

KEPT_BYTES: Final = 16 * 1024
"""Of what the code prints, the last."""

MAX_REPORT_BYTES: Final = 4 * 1024 * 1024


def dry_run(name: str, folders: Iterable[str], timeout_s: float, also: Collection[str] = ()) -> dict[str, Any]:
    """Return the report on an extension or app, with what it printed.

    also: variables of this process that it gets besides what bots' code gets anyway.

    Code that does not come to an end within `timeout_s`, or ends the process, is a problem like any other.
    """
    with os.fdopen(os.memfd_create("stack"), "w+b") as stack:
        read, write = os.pipe()
        with os.fdopen(read, "rb") as report:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "worker_bot.check", str(write), str(stack.fileno()), name, *folders],
                pass_fds=(write, stack.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(also),
            )
            os.close(write)
            with process:
                return _hear(name, process, report, stack, timeout_s)


def _hear(
    name: str, process: "subprocess.Popen[bytes]", report: IO[bytes], stack: IO[bytes], timeout_s: float
) -> dict[str, Any]:
    said, printed, late = _read(process, report, timeout_s)
    where = _stack(process, stack) if late else ""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    found: dict[str, Any] = {"name": name, "kind": "app" if ":" in name else "extension", "problem": None}
    found |= {"traceback": where, "commands": [], "notes": [], "seconds": timeout_s}
    try:
        found |= json.loads(said)
    except ValueError:
        found["problem"] = (
            f"It was not up within {timeout_s:g} s; the stack shows where it was."
            if late
            else f"It ended the process ({'exit code' if code >= 0 else 'signal'} {abs(code)})."
        )
    return found | {"printed": printed.decode(errors="replace")}


def _read(process: "subprocess.Popen[bytes]", report: IO[bytes], timeout_s: float) -> tuple[bytes, bytes, bool]:
    """Return what is reported, the last of what is printed, and whether it takes too long."""
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    said = printed = b""
    deadline = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector:
        selector.register(report, selectors.EVENT_READ)
        selector.register(process.stdout, selectors.EVENT_READ)
        while report in {key.fileobj for key in selector.get_map().values()}:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or len(said) > MAX_REPORT_BYTES:
                return b"", printed, left_s <= 0
            for key, _ in selector.select(left_s):
                received = os.read(key.fd, KEPT_BYTES)
                if not received:
                    selector.unregister(key.fileobj)
                elif key.fileobj is report:
                    deadline = deadline if said else time.monotonic() + timeout_s
                    said += received
                else:
                    printed = (printed + received)[-KEPT_BYTES:]
    os.set_blocking(process.stdout.fileno(), False)
    with suppress(BlockingIOError, ValueError):
        printed = (printed + (process.stdout.read(KEPT_BYTES) or b""))[-KEPT_BYTES:]
    return said, printed, False


def _stack(process: "subprocess.Popen[bytes]", stack: IO[bytes]) -> str:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGUSR2)
    time.sleep(STACK_WAIT_S)
    stack.seek(0)
    return "\n".join(_of_author(stack.read(KEPT_BYTES).decode(errors="replace")))


def _of_author(stack: str) -> Iterator[str]:
    """Yield a stack's lines, the innermost call first, up to where the author's code was called."""
    for line in stack.splitlines():
        if "/worker_bot/" in line or "/importlib/__init__.py" in line:
            return
        if "<frozen importlib" not in line:
            yield line


def _environment(also: Collection[str]) -> dict[str, str]:
    """Return the environment that a bot's code has under the supervisor. also: what stands for the bot's secrets."""
    return of_bots(os.environ) | inherited(os.environ, also)
