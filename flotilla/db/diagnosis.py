"""What is kept of bots for people to look at: exits, stacks, and how often they were started."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.tables import bot_exits, bot_heaps, bot_stacks, bot_status, bot_transitions, bots
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.heap import Heap, parse_report
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, NotFoundError

LAST_EXITS = 3


@dataclass(frozen=True, slots=True)
class Record:
    """A bot's recent past. starts: incarnations begun since the moment asked for. heartbeat_at: aware UTC.

    fork_server: the number of the one that made its last process.
    """

    starts: int
    failures: int
    heartbeat_at: datetime | None
    exits: tuple[Exit, ...]
    fork_server: int | None = None


class SqlDiagnosis:
    """The read side of what supervisors note, and the requests for stacks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exits(self, bot_id: str, limit: int, cursor: str | None) -> Page[Exit]:
        """Return up to `limit` exits of a bot, newest first. Raises NotFoundError, and FixInputError for the cursor."""
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            page = await select_keyset_page(connection, _exits_of(bot_id), limit, cursor)
        return Page([_exit(row) for row in page.items], page.next_cursor)

    async def record(self, bot_id: str, since: datetime) -> Record:
        """Return a bot's recent past; `starts` counts from `since` on. Raises NotFoundError."""
        table = bot_transitions
        starts = sa.select(sa.func.count(sa.distinct(table.c.generation))).where(
            table.c.bot_id == bot_id, table.c.at >= since, table.c.state == State.STARTING.value
        )
        columns = (bot_status.c.failures, bot_status.c.heartbeat_at, bot_status.c.fork_server)
        status = sa.select(*columns).where(bot_status.c.bot_id == bot_id)
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            started = (await connection.execute(starts)).scalar_one()
            observed = (await connection.execute(status)).one_or_none()
            exits = (await connection.execute(_exits_of(bot_id).limit(LAST_EXITS))).all()
        failures, heartbeat_at, fork_server = (0, None, None) if observed is None else observed
        return Record(started, failures, heartbeat_at, tuple(_exit(row) for row in exits), fork_server)

    async def ask_stacks(self, bot_id: str) -> int:
        """Ask for a bot's stacks; return the epoch that the answer will have or exceed.

        Raises NotFoundError, and ConflictError (`bot_not_running`) if the bot has no process.
        """
        return await self._ask(bot_id, bots.c.stacks_epoch, {})

    async def ask_heap(self, bot_id: str, trace_s: float = 0.0) -> int:
        """Ask what a bot's memory is made of, as `ask_stacks` does. trace_s: trace allocations for so long first."""
        return await self._ask(bot_id, bots.c.heap_epoch, {bots.c.heap_trace_s: trace_s})

    async def _ask(self, bot_id: str, column: sa.Column[int], also: dict[sa.Column[Any], object]) -> int:
        there = sa.exists().where(bot_status.c.bot_id == bots.c.id, bot_status.c.pid.is_not(None))
        change = (
            bots.update()
            .where(bots.c.id == bot_id, bots.c.deleted_at.is_(None), there)
            .values({column: column + 1, **also})
            .returning(column)
        )
        async with self._database.write() as connection:
            epoch = (await connection.execute(change)).scalar_one_or_none()
            if epoch is not None:
                return int(epoch)
            await _require_bot(connection, bot_id)
        raise ConflictError("This bot has no process, so there is nothing to show.", code="bot_not_running")

    async def stacks(self, bot_id: str) -> Stacks | None:
        """Return the stacks that were written last, None if they never were. Raises NotFoundError."""
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            query = sa.select(bot_stacks).where(bot_stacks.c.bot_id == bot_id)
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Stacks(row.bot_id, row.epoch, row.at, row.generation, row.text, row.fault)

    async def heap(self, bot_id: str) -> Heap | None:
        """Return what was said last of a bot's heap, None if nobody asked. Raises NotFoundError."""
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            row = (await connection.execute(sa.select(bot_heaps).where(bot_heaps.c.bot_id == bot_id))).one_or_none()
        if row is None:
            return None
        return Heap(row.bot_id, row.epoch, row.at, row.generation, parse_report(row.report), row.fault)


def _exits_of(bot_id: str) -> sa.Select[Any]:
    return sa.select(bot_exits).where(bot_exits.c.bot_id == bot_id).order_by(bot_exits.c.id.desc())


def _exit(row: sa.Row[Any]) -> Exit:
    return Exit(row.id, row.bot_id, row.at, row.generation, row.exit_code, row.reason, row.tail)


async def _require_bot(connection: AsyncConnection, bot_id: str) -> None:
    if (await connection.execute(sa.select(bots.c.id).where(bots.c.id == bot_id))).one_or_none() is None:
        # The id is not repeated: what stands in its place may be a token.
        raise NotFoundError("There is no bot with this id.", code="bot_unknown")
