"""Imports the bots' own code into the fork server, so that all its workers share it.

The fork server serves every bot, so it must survive what one bot's code does when it is imported. Code that is not
Flotilla's is imported in a trial process first, which may hang, end or start threads as it likes; what fails there is
left out, and the worker that needs it imports it by itself and fails by itself.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from flotilla.domain.config import BUILT_IN
from worker_bot import making, tracebacks
from worker_bot.asked_environment import BEFORE_THE_FORK, Asked, noting
from worker_bot.loading import ExtensionFailedError, import_app, import_extension
from worker_bot.making import AppFailedError, MadeTooEarlyError

MAX_FAULT_CHARS: Final = 32_000
STACK_WAIT_S: Final = 0.3
READ_BYTES: Final = 64 * 1024
_OURS: Final = frozenset(BUILT_IN.values())


@dataclass(frozen=True, slots=True)
class _Told:
    """What the trial found of one module. fault: empty if it may be imported. later: by its worker alone.

    asked: it asks for a secret. What it has imported knows now that there is none, so this trial is of no further use.
    """

    fault: str = ""
    later: bool = False
    asked: bool = False


def preload(
    names: Iterable[str],
    path: Iterable[str] = (),
    timeout_s: float = 60.0,
    inherited: Iterable[int] = (),
    secrets: Collection[str] = (),
) -> str:
    """Import extensions and the modules of apps (`package.module:function`), also from the folders of `path`.

    Return what went wrong, empty if nothing did. Never raises. timeout_s: by then it should be over; a module gets a
    quarter of it. inherited: descriptors that a trial must not hold. No bytecode is written: Python takes a file that
    changed within a second for the one it has compiled. A module that makes its bot when it is imported is no fault,
    and is left to its worker: no bot may be made before the fork. So is one that asks for one of `secrets`, which are
    names of variables that only workers have.
    """
    sys.dont_write_bytecode = True
    making.offer_placeholders()
    faults = [_add_folder(folder) for folder in path if folder not in sys.path]
    importlib.invalidate_caches()
    wanted = list(dict.fromkeys(names))
    strange = [name for name in wanted if name not in _OURS and not _is_here(name)]
    found = _try(strange, timeout_s / 2, tuple(inherited), secrets)
    for name in wanted:
        told = found.get(name, _Told())
        with noting(BEFORE_THE_FORK):
            faults.append(told.fault or ("" if told.later else _import(name).fault))
    return tracebacks.cut("\n".join(fault for fault in faults if fault), MAX_FAULT_CHARS)


def _is_here(name: str) -> bool:
    return ":" not in name and name in sys.modules


def _add_folder(folder: str) -> str:
    if not Path(folder).is_dir():
        return f"FLOTILLA_EXTENSIONS_PATH names {folder}, which is not a folder that can be read.\n"
    sys.path.append(folder)
    return ""


def _import(name: str) -> _Told:
    threads = threading.active_count()
    try:
        with making.forbidden():
            if ":" in name:
                import_app(name)
            else:
                import_extension(name)
    except MadeTooEarlyError:
        return _Told(later=True)
    except (ExtensionFailedError, AppFailedError) as error:
        return _Told(f"{error}\n{tracebacks.authors(error.__cause__)}")
    if threading.active_count() > threads:
        return _Told(
            f"{name} starts a thread when it is imported; workers would not have it. Start it in a listener.\n"
        )
    return _Told()


# The trial -----------------------------------------------------------------------------------------------------------


def _try(names: list[str], within_s: float, inherited: tuple[int, ...], secrets: Collection[str]) -> dict[str, _Told]:
    """Import modules in a process that is thrown away. One that ends or blocks it is left out, and the others go on."""
    found: dict[str, _Told] = {}
    deadline = time.monotonic() + within_s
    while left := [name for name in names if name not in found]:
        before = len(found)
        with _Trial(left, inherited, secrets) as trial:
            found |= dict(trial.results(deadline))
        if len(found) == before:  # it could not even begin
            found |= dict.fromkeys(left, _Told("the trial of the bots' code failed; see the lines before\n"))
    return found


class _Trial:
    """A process that imports modules, one after the other, and says how each went."""

    def __init__(self, names: list[str], inherited: tuple[int, ...], secrets: Collection[str]) -> None:
        self._names = names
        self._secrets = secrets
        self._stack = os.memfd_create("stack")
        self._read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                self._be_the_trial(write, inherited)
            os._exit(0)
        os.close(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()
        os.close(self._read)
        os.close(self._stack)

    def results(self, deadline: float) -> Iterator[tuple[str, _Told]]:
        """Yield what is found of each module, up to and with the first that ends or blocks the trial, or asks."""
        buffer = b""
        for name in self._names:
            limit_s = max(0.0, deadline - time.monotonic()) / 2
            line, buffer = self._line(buffer, limit_s)
            if line is None:
                yield name, _Told(f"{name} could not be imported: {self._why(limit_s)}")
                return
            told = _Told(**json.loads(line))
            yield name, told
            if told.asked:
                return

    def _line(self, buffer: bytes, limit_s: float) -> tuple[bytes | None, bytes]:
        end = time.monotonic() + limit_s
        while b"\n" not in buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            received = os.read(self._read, READ_BYTES) if ready else b""
            if not received:
                return None, buffer
            buffer += received
        line, _, rest = buffer.partition(b"\n")
        return line, rest

    def _why(self, limit_s: float) -> str:
        code = self._exit_code()
        if code is not None:
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            return f"it ends the process when it is imported ({how}). Take that out of it.\n"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGUSR2)
        time.sleep(STACK_WAIT_S)
        stack = os.pread(self._stack, MAX_FAULT_CHARS, 0).decode(errors="replace")
        return (
            f"it was not imported within {limit_s:.1f} s. Mend what hangs, or raise FLOTILLA_PRELOAD_TIMEOUT_S; "
            f"each module gets a quarter of that. Where it was:\n{stack}"
        )

    def _exit_code(self) -> int | None:
        """Return how the trial has ended, or None if it lives. What it is still about to do gets a moment."""
        for _ in range(20):
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                return os.waitstatus_to_exitcode(status)
            if not select.select([self._read], [], [], 0)[0]:
                return None
            time.sleep(0.01)
        return None

    def _end(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _be_the_trial(self, write: int, inherited: tuple[int, ...]) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for descriptor in (self._read, *inherited):
            os.close(descriptor)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR2, file=self._stack)
        for name in self._names:
            asked = Asked()
            with noting(asked):
                told = _import(name)
            if asked.of(self._secrets):
                told = _Told(later=True, asked=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(write, json.dumps(asdict(told)).encode() + b"\n")
            if told.asked:
                return
