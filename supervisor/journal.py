"""Writes what the supervisor observes, many changes in one transaction, and tells when it is safely stored."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import structlog

from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.vitals import NO_VITALS
from flotilla.ports import FleetStore
from supervisor.unstored import Unstored
from supervisor.writer import Refused, Writer

KEEP_AFTER_S = 1.0
"""A database that has not taken something by then is not waited for where the disk will do."""

MAX_TRANSITIONS = 100_000
"""Kept while the database is away: about 20 MB. Beyond that the oldest are dropped, and that is logged."""

log = structlog.get_logger()


class Journal:
    """Group commit: whatever is put while a transaction runs goes into the next one.

    The newest status of a bot replaces an older one that is not stored yet; transitions are all kept.
    """

    def __init__(self, store: FleetStore, refused: Refused, unstored: Unstored | None = None) -> None:
        self._store = store
        self._unstored = unstored
        self._keeping = asyncio.Lock()
        self._kept = 0  # so many records are safe on the disk, or in the database
        self.writer: Writer[BotStatus | Transition] = Writer(
            "status",
            self._save,
            refused,
            owner=lambda row: row.bot_id,
            lesser=_bare,
            also=self._clear_kept,
            max_waiting=MAX_TRANSITIONS,
        )

    def put(self, status: BotStatus, transition: Transition | None = None) -> None:
        """Store `status`, and `transition` if there was one, soon."""
        self.writer.put(status, key=status.bot_id)
        if transition is not None:
            self.writer.put(transition)

    async def stored(self) -> None:
        """Return when everything put before this call is in the database."""
        await self.writer.stored()

    async def safe(self) -> None:
        """Return when the next supervisor finds what was put before this call, whatever becomes of this one.

        That is in the database, or on the disk while it does not take it.
        """
        mark = self.writer.mark
        if self._unstored is None:
            return await self.stored()
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.writer.stored(mark), KEEP_AFTER_S)
        async with self._keeping:
            if self._kept < mark:
                put, statuses = self.writer.mark, [row for row in self.writer.waiting() if isinstance(row, BotStatus)]
                try:
                    await asyncio.to_thread(self._unstored.write, statuses)
                except OSError as fault:
                    log.warning("journal.not_kept", error=str(fault))
                    return await self.writer.stored(mark)
                self._kept = put
                log.info("journal.kept", statuses=len(statuses))
        return None

    def forget(self, bot_id: str) -> None:
        """Drop what is not stored yet of a bot that is removed."""
        self.writer.forget(bot_id)

    async def _save(self, rows: Sequence[BotStatus | Transition]) -> None:
        statuses = [row for row in rows if isinstance(row, BotStatus)]
        await self._store.save(statuses, [row for row in rows if isinstance(row, Transition)])

    async def _clear_kept(self) -> None:
        if self._unstored is not None and 0 < self._kept <= self.writer.reached:
            self._kept = 0
            self._unstored.clear()


def _bare(row: BotStatus | Transition) -> BotStatus | None:
    """Return what the next supervisor needs to find the process; figures and words may be what is refused."""
    if isinstance(row, Transition):
        return None
    return replace(row, reason=None, memory_bytes=None, latency_ms=None, vitals=NO_VITALS)
