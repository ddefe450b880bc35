"""The database as the supervisor uses it: reads what is wanted, writes what it observes."""

import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.outbox import record
from flotilla.db.parents import bots_there
from flotilla.db.rows import bot_of, bots_with_status, outcome_of, status_of
from flotilla.db.secrets import credentials
from flotilla.db.tables import (
    bot_exits,
    bot_heaps,
    bot_stacks,
    bot_status,
    bot_transitions,
    bots,
    supervisors,
)
from flotilla.db.upsert import upsert
from flotilla.domain.bot_secrets import Encrypted
from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.clock import FUTURE
from flotilla.domain.diagnosis import EXITS_KEPT, Exit, Stacks
from flotilla.domain.happenings import Happening
from flotilla.domain.heap import Heap
from flotilla.domain.vitals import HostVitals
from flotilla.errors import RetryError
from flotilla.ports import FleetRow


def _digest() -> sa.Select[Any]:
    """Select one text made of all that operators want: a ninth of the time that the rows themselves take.

    Every desired column is in it, so that a new one cannot be forgotten; and the answers to requests for stacks. Of a
    config, which may be large, its version is enough.
    """
    columns = [column for column in bots.c if column.name not in {"token_encrypted", "config"}]
    fields = (sa.func.coalesce(sa.cast(column, sa.Text), "") + _AFTER for column in (*columns, bot_stacks.c.epoch))
    row = functools.reduce(operator.add, fields)
    rows = sa.func.aggregate_strings(row, _AFTER)
    return sa.select(rows).select_from(bots.outerjoin(bot_stacks, bot_stacks.c.bot_id == bots.c.id))


_AFTER = "\x1f"
_DIGEST = _digest()


class SqlFleetStore:
    """`FleetStore` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: tuple[str, list[FleetRow]] | None = None
        self.fence: tuple[int, int] | None = None
        """Slot and epoch of the claim under which is written; None: whoever asks may. Once it is somebody else's, what
        was observed is not stored: it would stand in place of what the other one observes."""

    async def wanted(self) -> list[FleetRow]:
        async with self._database.read() as connection:
            digest = (await connection.execute(_DIGEST)).scalar_one() or ""
        if self._wanted is None or self._wanted[0] != digest:
            # Read after the digest: what changes in between shows in the next one.
            self._wanted = digest, await self.fleet()
        return self._wanted[1]

    async def fleet(self) -> list[FleetRow]:
        async with self._database.read() as connection:
            query = bots_with_status()
            for table, name in ((bot_stacks, "stacks_answered"), (bot_heaps, "heap_answered")):
                answered = sa.func.coalesce(table.c.epoch, 0).label(name)
                query = query.add_columns(answered).outerjoin(table, table.c.bot_id == bots.c.id)
            rows = await connection.execute(query)
            return [
                FleetRow(bot_of(row), status_of(row), row.stacks_answered, row.heap_answered, outcome_of(row))
                for row in rows
            ]

    async def credentials(self, bot_ids: Iterable[str]) -> dict[str, Encrypted]:
        async with self._database.read() as connection:
            return await credentials(connection, list(bot_ids))

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        ids = {row.bot_id for row in statuses} | {row.bot_id for row in transitions}
        async with self._database.write() as connection:
            known = await self._known(connection, ids)
            rows = [_row_of(status) for status in statuses if status.bot_id in known]
            if rows:
                await connection.execute(upsert(connection.dialect.name, bot_status, "bot_id"), rows)
            changes = [asdict(transition) for transition in transitions if transition.bot_id in known]
            if changes:
                await connection.execute(bot_transitions.insert(), changes)

    async def record_exits(self, exits: Sequence[Exit]) -> None:
        async with self._database.write() as connection:
            known = await self._known(connection, {row.bot_id for row in exits})
            rows = [asdict(row) for row in exits if row.bot_id in known]
            if rows:
                dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
                await connection.execute(dialect.insert(bot_exits).on_conflict_do_nothing(), rows)
                await connection.execute(_superfluous_exits(known))

    async def record_stacks(self, stacks: Stacks) -> None:
        async with self._database.write() as connection:
            if await self._known(connection, {stacks.bot_id}):
                await connection.execute(upsert(connection.dialect.name, bot_stacks, "bot_id"), [asdict(stacks)])

    async def record_heap(self, heap: Heap) -> None:
        row = {field.name: getattr(heap, field.name) for field in fields(heap)}
        async with self._database.write() as connection:
            if await self._known(connection, {heap.bot_id}):
                row["report"] = msgspec.to_builtins(heap.report)
                await connection.execute(upsert(connection.dialect.name, bot_heaps, "bot_id"), [row])

    async def record_happenings(self, events: Sequence[Happening]) -> None:
        async with self._database.write() as connection:
            await record(connection, events)

    async def _known(self, connection: AsyncConnection, ids: set[str]) -> set[str]:
        """Return which of these bots there are until the transaction ends.

        Raises RetryError when the claim is not ours any more.
        """
        known = await bots_there(connection, ids, self.fence)
        if not all(known.values()):
            raise RetryError("Another installation has claimed the bots of this database.", code="database_claimed")
        return set(known)

    async def drop(self, bot_ids: Iterable[str]) -> None:
        async with self._database.write() as connection:
            await connection.execute(bots.delete().where(bots.c.id.in_(list(bot_ids)), bots.c.deleted_at.is_not(None)))

    async def seen(
        self, slot: int, pid: int, started_at: datetime, now: datetime, vitals: HostVitals | None = None
    ) -> None:
        shown = msgspec.to_builtins(vitals or HostVitals())
        row = {"slot": slot, "pid": pid, "started_at": started_at, "seen_at": now, "vitals": shown}
        async with self._database.write() as connection:
            await connection.execute(upsert(connection.dialect.name, supervisors, "slot"), [row])

    async def last_seen(self, slot: int) -> datetime | None:
        async with self._database.read() as connection:
            query = sa.select(supervisors.c.seen_at).where(supervisors.c.slot == slot)
            return (await connection.execute(query)).scalar_one_or_none()


def _superfluous_exits(bot_ids: set[str]) -> sa.Delete:
    table = bot_exits
    # Those that a clock ahead has dated would stand before all that follow until their time has come.
    ahead = sa.case((table.c.at > datetime.now(UTC) + FUTURE, 1), else_=0)
    age = sa.func.row_number().over(partition_by=table.c.bot_id, order_by=(ahead, table.c.id.desc())).label("age")
    ranked = sa.select(table.c.id, age).where(table.c.bot_id.in_(bot_ids)).subquery()
    return table.delete().where(table.c.id.in_(sa.select(ranked.c.id).where(ranked.c.age > EXITS_KEPT)))


def _row_of(status: BotStatus) -> dict[str, Any]:
    return {field.name: getattr(status, field.name) for field in fields(status)} | {
        "vitals": msgspec.to_builtins(status.vitals),
        "failed_at": list(status.failed_at),
    }
