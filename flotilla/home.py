"""The folder of one installation: who may use it, and who is running in it."""

import asyncio
import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from flotilla.errors import SetupError
from flotilla.private import make_private
from flotilla.secrets import ensure_key_file
from flotilla.settings import Settings

_PID_BYTES = 32
_CARD_BYTES = 480
STARTS_KEPT = 8
"""As many starts as tell a crash loop from a person's restarts, twice over."""

STAY_S = 2.0
BEAT_S = 2.0
log = structlog.get_logger()


def prepare_home(settings: Settings) -> None:
    """Make the installation's folders and key file, for the owner only, and close what of them others may reach.

    Raises SetupError (`home_not_writable`, and as `make_private`).
    """
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(settings)
        make_folders(settings)
        ensure_key_file(settings.key_file)
        probe = settings.run_dir / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise SetupError(
            f"Cannot write to {settings.home} ({fault.strerror}). "
            "Choose another folder with FLOTILLA_HOME, or mend its permissions and free space.",
            code="home_not_writable",
        ) from fault


def make_folders(settings: Settings) -> list[Path]:
    """Make those of the installation's folders that are not there; return which. Raises OSError."""
    made = []
    for folder in (
        settings.home,
        settings.run_dir,
        settings.log_dir,
        settings.log_dir / "bots",
        settings.session_dir,
        settings.bots_dir,
        settings.control_socket.parent,
    ):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.append(folder)
    return made


@dataclass(frozen=True, slots=True)
class Card:
    """What the live holder of a ProgramLock says of itself; seconds are of CLOCK_MONOTONIC, which all processes share.

    starts: when the program was started lately, the newest last. beat_s: when it last said that it turns, None if it
    has not yet. Both are empty of a program of a release that did not say so.
    """

    pid: int
    starts: tuple[float, ...] = ()
    beat_s: float | None = None


class ProgramLock:
    """At most one live process of a program per home; the kernel drops the lock with its holder, however it dies.

    The file says who holds it: the pid, padded to _PID_BYTES as releases before this one read it, then a Card's rest.
    """

    def __init__(self, settings: Settings, program: str) -> None:
        self._path: Path = settings.run_dir / f"{program}.pid"
        self._program = program
        self._descriptor: int | None = None
        self._starts: tuple[float, ...] = ()

    def acquire(self, *, inheritable: bool = False) -> None:
        """Hold the lock until this process ends. Raises SetupError (`already_running`) naming the holder.

        inheritable: hold it through an execve, too.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise SetupError(
                f"Another {self._program} (process {holder or 'unknown'}) runs in {self._path.parent.parent}. "
                "Stop it with `flotilla down`, or choose another FLOTILLA_HOME.",
                code="already_running",
            ) from None
        now_s = time.monotonic()
        # Of a boot before this one they may lie ahead.
        before = [start for start in _parse(_read(descriptor), 0).starts if start <= now_s]
        self._starts = (*before[1 - STARTS_KEPT :], now_s)
        os.set_inheritable(descriptor, inheritable)
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        self._write(None)

    def beat(self) -> None:
        """Say that this program turns. Where nothing can be written, nobody learns of it."""
        with contextlib.suppress(OSError):
            self._write(time.monotonic())

    async def beat_for_ever(self) -> None:
        """Say every BEAT_S that this program's event loop turns, until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_S)

    async def stay(self) -> None:
        """Make the lock anew for ever when its file is removed: whoever asks who runs here looks at its path.

        A fault of the disk, or a stranger who was quicker, is logged once; it is tried again.
        """
        told = ""
        while True:
            await asyncio.sleep(STAY_S)
            try:
                if self._is_there():
                    continue
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                before, self._descriptor = self._descriptor, None
                try:
                    self.acquire()
                except BaseException:
                    self._descriptor = before
                    raise
                if before is not None:
                    os.close(before)
                log.warning("lock.made_anew", path=str(self._path))
                told = ""
            except (OSError, SetupError) as fault:
                if str(fault) != told:
                    told = str(fault)
                    log.error("lock.lost", path=str(self._path), error=told)  # noqa: TRY400 - one line says it

    def _is_there(self) -> bool:
        if self._descriptor is None:
            return True
        try:
            found, held = self._path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Let go of the lock; without a lock held, do nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Return the pid of the live process that holds the lock, or None; also in a home that cannot be written."""
        card = self.card()
        return None if card is None else card.pid

    def card(self) -> Card | None:
        """Return what the live process that holds the lock says of itself, or None if there is none."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            # Shared: two that ask at once must not take each other for the holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
            return _parse(_read(descriptor), int(text)) if text.isdigit() else None
        finally:
            os.close(descriptor)
        return None

    def _write(self, beat_s: float | None) -> None:
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        said = json.dumps({"starts": self._starts, "beat_s": beat_s}).ljust(_CARD_BYTES)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".ljust(_PID_BYTES).encode() + said.encode(), 0)


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, _CARD_BYTES, _PID_BYTES)


def _parse(said: bytes, pid: int) -> Card:
    """Return what stands behind the pid; what is no card, as of another release, says nothing."""
    try:
        card = json.loads(said)
        beat_s = card["beat_s"]
        return Card(pid, tuple(map(float, card["starts"])), None if beat_s is None else float(beat_s))
    except (ValueError, KeyError, TypeError):
        return Card(pid)
