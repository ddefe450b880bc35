"""The confirmed clock as the database keeps it, from one program to the next."""

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from flotilla.db.engine import Database
from flotilla.db.tables import bot_transitions, clocks, command_logs, session_starts, supervisors
from flotilla.db.upsert import upsert
from flotilla.domain.clock import confirmed
from flotilla.ids import first_id

RETENTION = "retention"
RECENT = timedelta(minutes=10)
"""What is dated later than this ago may have been dated since a clock jumped, so it confirms nothing."""


class SqlClocks:
    """On SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def confirm(self, now: datetime, elapsed_s: float) -> datetime:
        """Note that `elapsed_s` have passed since the last call; return until when time has passed for certain.

        The first time ever it is the newest row that tells, and a database without rows takes `now`.
        """
        async with self._database.write() as connection:
            query = sa.select(clocks.c.confirmed_at).where(clocks.c.name == RETENTION)
            before = (await connection.execute(query)).scalar_one_or_none()
            if before is None:
                before = await _newest(connection, now - RECENT) or now
            at = confirmed(before, now, elapsed_s)
            row = {"name": RETENTION, "confirmed_at": at}
            await connection.execute(upsert(connection.dialect.name, clocks, "name"), [row])
        return at


async def remember(connection: AsyncConnection, at: datetime) -> None:
    """Note that time has passed until `at`, unless more is known: before rows are moved that could have told it."""
    dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    row = {"name": RETENTION, "confirmed_at": at}
    await connection.execute(dialect.insert(clocks).values(row).on_conflict_do_nothing())


async def _newest(connection: AsyncConnection, before: datetime) -> datetime | None:
    """Return when the newest row before `before` was written."""
    columns = supervisors.c.seen_at, bot_transitions.c.at, session_starts.c.at
    found = [
        (await connection.execute(sa.select(sa.func.max(column)).where(column <= before))).scalar_one()
        for column in columns
    ]
    # Their ids begin with their time, and there is no index of the latter.
    after = first_id(before + timedelta(milliseconds=1))
    last = sa.select(sa.func.max(command_logs.c.id)).where(command_logs.c.id < after)
    log_id = (await connection.execute(last)).scalar_one()
    times = [at for at in (*found, ULID.from_str(log_id).datetime if log_id else None) if at is not None]
    return max(times, default=None)
