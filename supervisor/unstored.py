"""What was observed of workers, on this host's disk while the database does not take it.

A worker gets its token once its process is written down where the next supervisor finds it. That need not be the
database: with it away, a bot that crashed would stay down for as long.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from flotilla.domain.bots import BotStatus
from flotilla.ports import FleetRow

log = structlog.get_logger()


class Unstored:
    """A file with the newest status of each bot that is not in the database yet. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, statuses: Iterable[BotStatus]) -> None:
        """Replace what is kept, for good: a crash of the host right after loses nothing. Raises OSError."""
        fresh = self._path.with_suffix(".new")
        with open(fresh, "wb", opener=_private) as file:
            file.write(msgspec.json.encode(list(statuses)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def clear(self) -> None:
        """Keep nothing any more: the database has it."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as fault:
            log.warning("unstored.not_cleared", path=str(self._path), error=str(fault))

    def read(self) -> list[BotStatus]:
        """Return what the supervisor before left; one that is damaged is passed over, and said so."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[BotStatus])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
            log.warning("unstored.unreadable", path=str(self._path), error=str(fault))
            return []


def newest(rows: Sequence[FleetRow], kept: Iterable[BotStatus]) -> list[FleetRow]:
    """Return the rows of the database, each with what is kept of its bot if that is of a later process.

    What is kept may be older: it is cleared right after the database has taken it, and a crash may come between.
    """
    by_id = {status.bot_id: status for status in kept}
    return [_with(row, by_id.get(row.bot.id)) for row in rows]


def _with(row: FleetRow, kept: BotStatus | None) -> FleetRow:
    return row if kept is None or not _is_later(kept, row.status) else replace(row, status=kept)


def _is_later(kept: BotStatus, stored: BotStatus) -> bool:
    if kept.generation != stored.generation:
        return kept.generation > stored.generation
    return stored.pid is None and kept.pid is not None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
