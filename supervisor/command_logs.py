"""Takes what users did from the workers to the database, by way of the disk while the database is away."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from msgspec import structs

from flotilla.domain.command_logs import CommandLog
from flotilla.domain.dated import not_ahead
from flotilla.ports import CommandLogStore
from flotilla.protocol import CommandsRan, CommandsStored, ToWorker
from supervisor.member import Member
from supervisor.spool import Row, Spool
from supervisor.writer import Refused, Writer

GATHER_S = 0.1
"""Batches of many workers that come within this time are stored together."""

READ_AT_ONCE = 1000
STORE_TIMEOUT_S = 5.0
"""A database that hangs longer than this counts as away: the disk takes over."""

log = structlog.get_logger()


class CommandLogs:
    """Stores what workers tell, then says so to them. A batch that is not answered is told again.

    A worker keeps a batch until it is answered, so no more than one of each worker waits here.
    """

    def __init__(
        self, store: CommandLogStore, spool: Spool, tell: Callable[[str, ToWorker], bool], refused: Refused
    ) -> None:
        self._spool = spool
        self._tell = tell
        self._is_spooling = False
        self.writer: Writer[Row] = Writer(
            "command logs",
            store.record_command_logs,
            refused,
            owner=lambda row: row[0],
            lesser=lambda row: (row[0], structs.replace(row[1], options={}, error=None)),
            elsewhere=self._spool_rows,
            also=self._empty_spool,
            gather_s=GATHER_S,
            timeout_s=STORE_TIMEOUT_S,
        )
        if not spool.is_empty():
            self.writer.storing.ask()  # what was spooled before goes first

    def take(self, member: Member, generation: int, message: CommandsRan) -> None:
        """Take a batch; the same one again takes its own place."""
        if message.lost:
            log.error("command_logs.lost", bot=member.bot.name, logs=message.lost)
        bot_id, now = member.bot.id, time.time()
        rows = [(bot_id, _dated(row, now)) for row in message.logs]
        answer = CommandsStored(message.number)
        self.writer.put(*rows, key=(bot_id, generation), then=lambda: self._tell(bot_id, answer))

    async def _spool_rows(self, rows: Sequence[Row]) -> bool:
        """Keep rows on the disk while the database is away. Without room nobody is answered; workers keep theirs."""
        if rows and not await asyncio.to_thread(self._spool.add, list(rows)):
            log.error("command_logs.spool_full", logs=len(rows))
            return False
        if rows and not self._is_spooling:
            self._is_spooling = True
            log.warning("command_logs.spooled", logs=len(rows))
        return True

    async def _empty_spool(self) -> None:
        """Store a part of what lies on the disk, and the rest soon."""
        self._is_spooling = False
        if self._spool.is_empty():
            return
        rows = await asyncio.to_thread(self._spool.peek, READ_AT_ONCE)
        if rows:
            await self.writer.save(rows)
        await asyncio.to_thread(self._spool.drop)
        if self._spool.is_empty():
            log.info("command_logs.caught_up")
        else:
            self.writer.storing.ask()


def _dated(row: CommandLog, now: float) -> CommandLog:
    """Return a log whose time is believed no further than this host's clock goes."""
    dated = not_ahead(row.id, row.at, now)
    return row if dated == (row.id, row.at) else structs.replace(row, id=dated[0], at=dated[1])
