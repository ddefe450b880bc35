"""Writes what the supervisor observes, many changes in one transaction, and tells when it is safely stored."""

import asyncio
import contextlib
import random

import structlog

from flotilla.domain.bots import BotStatus, Transition
from flotilla.errors import RetryError
from flotilla.ports import FleetStore
from supervisor.progress import Progress, pause_s
from supervisor.unstored import Unstored

RETRY_CAP_S = 5.0
KEEP_AFTER_S = 1.0
"""A database that has not taken something by then is not waited for where the disk will do."""

MAX_TRANSITIONS = 100_000
"""Kept while the database is away: about 20 MB. Beyond that the oldest are dropped, and that is logged."""

log = structlog.get_logger()


class Journal:
    """Group commit: whatever is put while a transaction runs goes into the next one.

    The newest status of a bot replaces an older one that is not stored yet; transitions are all kept.
    """

    def __init__(self, store: FleetStore, unstored: Unstored | None = None) -> None:
        self._store = store
        self._unstored = unstored
        self._keeping = asyncio.Lock()
        self._kept = 0  # so many records are safe on the disk, or in the database
        self._statuses: dict[str, BotStatus] = {}
        self._under_way: dict[str, BotStatus] = {}
        self._transitions: list[Transition] = []
        self._wake = asyncio.Event()
        self._progress = Progress()

    def put(self, status: BotStatus, transition: Transition | None = None) -> None:
        """Store `status`, and `transition` if there was one, soon."""
        self._statuses[status.bot_id] = status
        if transition is not None:
            self._transitions.append(transition)
        if len(self._transitions) > MAX_TRANSITIONS:
            del self._transitions[: MAX_TRANSITIONS // 10]
            log.error("journal.dropped", transitions=MAX_TRANSITIONS // 10)
        self._progress.put += 1
        self._wake.set()

    async def stored(self) -> None:
        """Return when everything put before this call is in the database."""
        await self._progress.until_stored(self._progress.put)

    async def safe(self) -> None:
        """Return when the next supervisor finds what was put before this call, whatever becomes of this one.

        That is in the database, or on the disk while it does not take it.
        """
        mark = self._progress.put
        if self._unstored is None:
            return await self.stored()
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._progress.until_stored(mark), KEEP_AFTER_S)
        async with self._keeping:
            if self._kept < mark:
                put, statuses = self._progress.put, list((self._under_way | self._statuses).values())
                try:
                    await asyncio.to_thread(self._unstored.write, statuses)
                except OSError as fault:
                    log.warning("journal.not_kept", error=str(fault))
                    return await self._progress.until_stored(mark)
                self._kept = put
                log.info("journal.kept", statuses=len(statuses))
        return None

    def forget(self, bot_id: str) -> None:
        """Drop what is not stored yet of a bot that is removed."""
        self._statuses.pop(bot_id, None)
        self._transitions = [row for row in self._transitions if row.bot_id != bot_id]

    async def run(self) -> None:
        """Store until cancelled. A database that is away is retried with a capped, jittered wait."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(pause_s(await self.flush()))

    async def flush(self) -> int:
        """Store what is there now, however long that takes; return how many rows that were."""
        mark, statuses, transitions = self._progress.put, self._statuses, self._transitions
        self._statuses, self._transitions = {}, []
        self._under_way = statuses
        failures = 0
        while statuses or transitions:
            try:
                await self._store.save(list(statuses.values()), transitions)
                break
            except RetryError as fault:
                failures += 1
                delay_s = random.uniform(0, min(RETRY_CAP_S, 0.1 * 2 ** min(failures, 10)))  # noqa: S311 - jitter
                log.warning("journal.database_away", error=fault.message, retry_in_s=round(delay_s, 2))
                await asyncio.sleep(delay_s)
        self._under_way = {}
        self._progress.reach(mark)
        if self._unstored is not None and 0 < self._kept <= mark:
            self._kept = 0
            self._unstored.clear()
        return len(statuses) + len(transitions)
