"""The database as the supervisor uses it: reads what is wanted, writes what it observes."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.rows import bot_of, bots_with_status, status_of
from flotilla.db.tables import bot_status, bot_transitions, bots, supervisors
from flotilla.domain.bots import BotStatus, Transition
from flotilla.errors import NotFoundError
from flotilla.ports import FleetRow


class SqlFleetStore:
    """`FleetStore` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fleet(self) -> list[FleetRow]:
        async with self._database.read() as connection:
            rows = await connection.execute(bots_with_status())
            return [FleetRow(bot_of(row), status_of(row)) for row in rows]

    async def encrypted_token(self, bot_id: str) -> bytes:
        async with self._database.read() as connection:
            query = sa.select(bots.c.token_encrypted).where(bots.c.id == bot_id)
            token = (await connection.execute(query)).scalar_one_or_none()
        if token is None:
            raise NotFoundError("There is no bot with this id.", code="bot_unknown")
        return bytes(token)

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        ids = {row.bot_id for row in statuses} | {row.bot_id for row in transitions}
        async with self._database.write() as connection:
            known = set((await connection.execute(sa.select(bots.c.id).where(bots.c.id.in_(ids)))).scalars())
            rows = [asdict(status) for status in statuses if status.bot_id in known]
            if rows:
                await _upsert(connection, bot_status, "bot_id", rows)
            changes = [asdict(transition) for transition in transitions if transition.bot_id in known]
            if changes:
                await connection.execute(bot_transitions.insert(), changes)

    async def drop(self, bot_ids: Iterable[str]) -> None:
        async with self._database.write() as connection:
            await connection.execute(bots.delete().where(bots.c.id.in_(list(bot_ids)), bots.c.deleted_at.is_not(None)))

    async def seen(self, slot: int, pid: int, started_at: datetime, now: datetime) -> None:
        row = {"slot": slot, "pid": pid, "started_at": started_at, "seen_at": now}
        async with self._database.write() as connection:
            await _upsert(connection, supervisors, "slot", [row])

    async def last_seen(self, slot: int) -> datetime | None:
        async with self._database.read() as connection:
            query = sa.select(supervisors.c.seen_at).where(supervisors.c.slot == slot)
            return (await connection.execute(query)).scalar_one_or_none()


async def _upsert(connection: AsyncConnection, table: sa.Table, key: str, rows: list[dict[str, Any]]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table)
    changed = {column.name: insert.excluded[column.name] for column in table.c if column.name != key}
    await connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=changed), rows)
