"""Whether the database takes what a program asks of it: since when not, why, and what is done when it does again."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from flotilla.home import ProgramLock
from flotilla.settings import Settings

PROGRAMS = ("supervisor", "jobs", "api")
WRITES_MISSED_S = 15.0
"""So long after a write that failed, reads do not show that it is over; a program that writes seldom asks no sooner."""

WHYS_KEPT = 4
"""Reasons told of one absence: the connections are cut, then the password is refused."""

log = structlog.get_logger()


class Absence(msgspec.Struct, frozen=True):
    """A database that is away from one program. since: aware UTC. why: a sentence without secrets."""

    program: str
    pid: int
    since: datetime
    why: str


class Availability:
    """What the last attempts of a program showed. Reads that succeed do not show that writes would."""

    def __init__(self) -> None:
        self._absence: Absence | None = None
        self._began = 0.0
        self._of_writes = False
        self._write_failed_at = 0.0
        self._whys: list[str] = []
        self._program = ""
        self._settings: Settings | None = None
        self._path: Path | None = None
        self._on_back: Callable[[str, float], object] | None = None

    def report(self, program: str, settings: Settings, on_back: Callable[[str, float], object] | None = None) -> None:
        """From now on leave a note for other programs while the database is away.

        on_back: told when it is back: why it was away, and for how many seconds.
        """
        self._settings = settings
        self._program, self._path, self._on_back = program, _path(settings, program), on_back
        self._path.unlink(missing_ok=True)

    def missed_by(self) -> list[Absence]:
        """Return what the running programs of this home noted, this one included."""
        return [] if self._settings is None else absences(self._settings)

    def failed(self, why: str, *, write: bool) -> None:
        """Note that the database did not take something."""
        self._of_writes = self._of_writes or write
        if write:
            self._write_failed_at = time.monotonic()
        if self._absence is not None:
            if why not in self._whys and len(self._whys) < WHYS_KEPT:
                self._whys.append(why)
            if self._absence.why != why:
                self._tell(why, self._absence.since)
            return
        self._began, self._whys = time.monotonic(), [why]
        self._tell(why, datetime.now(UTC))

    def _tell(self, why: str, since: datetime) -> None:
        self._absence = Absence(self._program, os.getpid(), since, why)
        log.warning("database.away", error=why)
        if self._path is not None:
            try:
                partial = self._path.with_suffix(".new")
                partial.write_bytes(msgspec.json.encode(self._absence))
                partial.replace(self._path)
            except OSError as fault:
                log.warning("database.absence_not_noted", path=str(self._path), error=str(fault))

    def worked(self, *, write: bool) -> None:
        """Note that the database took something."""
        if self._absence is None:
            return
        if self._of_writes and not write and time.monotonic() - self._write_failed_at < WRITES_MISSED_S:
            return
        why, away_s = " ".join(self._whys), time.monotonic() - self._began
        self._absence, self._of_writes = None, False
        log.info("database.back", away_s=round(away_s, 1), was=why)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._on_back is not None:
            self._on_back(why, away_s)


def absences(settings: Settings) -> list[Absence]:
    """Return from which running programs of this home the database is away now."""
    found = []
    for program in PROGRAMS:
        try:
            absence = msgspec.json.decode(_path(settings, program).read_bytes(), type=Absence)
        except (OSError, msgspec.MsgspecError):
            continue
        if ProgramLock(settings, program).holder() == absence.pid:  # else its writer is gone
            found.append(absence)
    return found


def _path(settings: Settings, program: str) -> Path:
    return settings.run_dir / f"{program}.database-away.json"
