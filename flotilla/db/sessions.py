"""Session starts and Discord's limits for them, as they are stored: by application, and outliving its bot."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flotilla.db.clocks import remember
from flotilla.db.engine import Database
from flotilla.db.tables import session_limits, session_starts
from flotilla.db.upsert import upsert
from flotilla.domain.sessions import WINDOW, Ledger, Limit, Start, limit_moved, merged, moved

FORGET_BATCH = 5000
_COLUMNS = ("application_id", "at", "cause")
_TOLD = {name: sa.bindparam(name, type_=session_starts.c[name].type) for name in _COLUMNS}
_NEW_START = session_starts.insert().from_select(
    _COLUMNS,
    sa.select(*_TOLD.values()).where(
        ~sa.exists().where(
            session_starts.c.application_id == _TOLD["application_id"], session_starts.c.at == _TOLD["at"]
        )
    ),
)
"""One that is told again, since nobody heard whether it was stored, is counted once."""


class SqlSessions:
    """`SessionStore` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ledgers(self, now: datetime, application_ids: Iterable[str] | None = None) -> dict[str, Ledger]:
        """As the port says; of `application_ids` alone if they are given."""
        starts = sa.select(session_starts).where(session_starts.c.at > now - WINDOW)
        limits = sa.select(session_limits)
        if application_ids is not None:
            wanted = list(application_ids)
            starts = starts.where(session_starts.c.application_id.in_(wanted))
            limits = limits.where(session_limits.c.application_id.in_(wanted))
        async with self._database.read() as connection:
            known = [(row.application_id, _limit(row)) for row in await connection.execute(limits)]
            spent = [(row.application_id, Start(row.at, row.cause)) for row in await connection.execute(starts)]
        return merged(spent, known)

    async def record(self, starts: Sequence[tuple[str, Start]], limits: Sequence[tuple[str, Limit]]) -> None:
        rows = [{"application_id": key, "at": start.at, "cause": start.cause} for key, start in starts]
        told = {key: {"application_id": key, **asdict(limit)} for key, limit in limits}
        async with self._database.write() as connection:
            if rows:
                await connection.execute(_NEW_START, rows)
            if told:
                statement = upsert(connection.dialect.name, session_limits, "application_id")
                await connection.execute(statement, list(told.values()))

    async def redate(self, seen_at: datetime, now: datetime) -> int:
        earliest = min(seen_at - WINDOW, now)
        starts = sa.select(session_starts.c.id, session_starts.c.at).where(session_starts.c.at > earliest)
        async with self._database.write() as connection:
            if seen_at < now:
                await remember(connection, seen_at)
            found = (await connection.execute(starts)).all()
            news = [{"row": row.id, "then": at} for row in found if (at := moved(row.at, seen_at, now)) != row.at]
            if news:
                change = session_starts.update().where(session_starts.c.id == sa.bindparam("row"))
                await connection.execute(change.values(at=sa.bindparam("then")), news)
            limits = [(row.application_id, _limit(row)) for row in await connection.execute(sa.select(session_limits))]
            told = [
                {"application_id": key, **asdict(new)}
                for key, limit in limits
                if (new := limit_moved(limit, seen_at, now)) != limit
            ]
            if told:
                statement = upsert(connection.dialect.name, session_limits, "application_id")
                await connection.execute(statement, told)
        return len(news)

    async def forget(self, now: datetime, batch: int = FORGET_BATCH) -> int:
        old = sa.select(session_starts.c.id).where(session_starts.c.at <= now - WINDOW).limit(batch)
        over = (session_limits.c.seen_at <= now - WINDOW) & (session_limits.c.resets_at <= now)
        async with self._database.write() as connection:
            gone = await connection.execute(session_starts.delete().where(session_starts.c.id.in_(old)))
            await connection.execute(session_limits.delete().where(over))
        return gone.rowcount


def _limit(row: sa.Row[Any]) -> Limit:
    return Limit(row.url, row.shards, row.total, row.remaining, row.max_concurrency, row.resets_at, row.seen_at)
