"""Takes what users did from the workers to the database, by way of the disk while the database is away."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from msgspec import structs

from flotilla.domain.command_logs import CommandLog
from flotilla.domain.dated import not_ahead
from flotilla.errors import RetryError
from flotilla.ports import CommandLogStore
from flotilla.protocol import CommandsRan, CommandsStored, ToWorker
from supervisor.member import Member
from supervisor.spool import Spool

GATHER_S = 0.1
"""Batches of many workers that come within this time are stored together."""

STORED_AT_ONCE = 1000
RETRY_CAP_S = 5.0
STORE_TIMEOUT_S = 5.0
"""A database that hangs longer than this counts as away: the disk takes over."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a worker told; it keeps that until it is answered, so no more than one of each worker waits here."""

    bot_id: str
    message: CommandsRan


class CommandLogs:
    """Stores what workers tell, then says so to them. A batch that is not answered is told again."""

    def __init__(self, store: CommandLogStore, spool: Spool, tell: Callable[[str, ToWorker], bool]) -> None:
        self._store = store
        self._spool = spool
        self._tell = tell
        self._waiting: dict[tuple[str, int], _Batch] = {}
        self._came = asyncio.Event()
        self._failures = 0

    def take(self, member: Member, generation: int, message: CommandsRan) -> None:
        """Take a batch; the same one again takes its own place."""
        if message.lost:
            log.error("command_logs.lost", bot=member.bot.name, logs=message.lost)
        now = time.time()
        logs = tuple(_dated(row, now) for row in message.logs)
        self._waiting[member.bot.id, generation] = _Batch(member.bot.id, structs.replace(message, logs=logs))
        self._came.set()

    async def run(self) -> None:
        """Store until cancelled. What was spooled before goes first."""
        while True:
            spooled = not self._spool.is_empty()
            if not spooled:
                await self._came.wait()
            await asyncio.sleep(self._pause_s())
            self._came.clear()
            await self.pass_on()

    async def pass_on(self) -> None:
        """Store what waits, in the database or else on the disk, and a part of what lies on the disk."""
        batches, self._waiting = list(self._waiting.values()), {}
        rows = [(batch.bot_id, row) for batch in batches for row in batch.message.logs]
        try:
            for start in range(0, len(rows), STORED_AT_ONCE):
                await self._record(rows[start : start + STORED_AT_ONCE])
            await self._empty_spool()
        except RetryError as fault:
            self._failures += 1
            if rows and not await asyncio.to_thread(self._spool.add, rows):
                # Nobody is answered, so the workers keep theirs, each within its own bound.
                log.error("command_logs.spool_full", logs=len(rows), error=fault.message)  # noqa: TRY400 - one line says it
                return
            if self._failures == 1:
                log.warning("command_logs.spooled", logs=len(rows), error=fault.message)
        else:
            self._failures = 0
        for batch in batches:
            self._tell(batch.bot_id, CommandsStored(batch.message.number))

    async def _empty_spool(self) -> None:
        if self._spool.is_empty():
            return
        rows = await asyncio.to_thread(self._spool.peek, STORED_AT_ONCE)
        await self._record(rows)
        await asyncio.to_thread(self._spool.drop)
        if self._spool.is_empty():
            log.info("command_logs.caught_up")

    async def _record(self, rows: list[tuple[str, CommandLog]]) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._store.record_command_logs(rows)
        except TimeoutError:
            raise RetryError("The database hangs.", code="database_unavailable") from None

    def _pause_s(self) -> float:
        if not self._failures:
            return GATHER_S
        return random.uniform(GATHER_S, min(RETRY_CAP_S, GATHER_S * 2 ** min(self._failures, 10)))  # noqa: S311 - jitter


def _dated(row: CommandLog, now: float) -> CommandLog:
    """Return a log whose time is believed no further than this host's clock goes."""
    dated = not_ahead(row.id, row.at, now)
    return row if dated == (row.id, row.at) else structs.replace(row, id=dated[0], at=dated[1])
