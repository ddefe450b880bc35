"""Uptime in the database: one query for the transitions of many bots, and the sweep of those nobody needs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.tables import bot_transitions, bots, supervisors
from flotilla.domain.uptime import LONGEST, Mark, Report, known_until, report, uptime
from flotilla.domain.worker import State
from flotilla.errors import NotFoundError

FORGET_BATCH = 5000
"""Rows that one transaction of the sweep removes at most: others wait for it on SQLite."""


class SqlUptime:
    """What is known of how bots were, and how it is forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, bot_id: str, now: datetime) -> Report:
        """Return a bot's uptime in every window that ends `now`. Raises NotFoundError."""
        async with self._database.read() as connection:
            there = await connection.execute(sa.select(bots.c.id).where(bots.c.id == bot_id))
            if there.one_or_none() is None:
                raise NotFoundError("There is no bot with this id.", code="bot_unknown")
            marks = await _marks(connection, [bot_id], now - LONGEST, now)
            return report(marks.get(bot_id, ()), now, known_until(await _seen_at(connection), now))

    async def forget(self, before: datetime, limit: int = FORGET_BATCH) -> int:
        """Remove up to `limit` transitions that no window from `before` on needs; return how many there were.

        A bot's last transition before `before` stays: it says how the bot was then.
        """
        table, newer = bot_transitions, bot_transitions.alias("newer")
        last = sa.select(sa.func.max(newer.c.at)).where(newer.c.bot_id == bots.c.id, newer.c.at < before)
        old = (
            sa.select(table.c.id)
            .join_from(bots, table, table.c.bot_id == bots.c.id)
            # The first follows from the second; it tells the database how few rows to expect.
            .where(table.c.at < before, table.c.at < last.scalar_subquery())
            .limit(limit)
        )
        async with self._database.write() as connection:
            result = await connection.execute(bot_transitions.delete().where(bot_transitions.c.id.in_(old)))
            return int(result.rowcount)


async def ratios(
    connection: AsyncConnection, bot_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, float | None]:
    """Return the uptime ratio in [start, end) of each bot that has ever been observed."""
    marks = await _marks(connection, bot_ids, start, end)
    known = known_until(await _seen_at(connection), end)
    return {bot_id: uptime(rows, start, end, known).ratio for bot_id, rows in marks.items()}


def marks_query(bot_ids: Sequence[str], start: datetime, end: datetime) -> sa.CompoundSelect[Any]:
    """Select the marks of bots in [start, end], each bot's led by the last one before; ordered, by bot.

    One step down the index (bot_id, at) per bot for the one before, and the index again for the rest. As two parts
    with the window's bounds as constants, since PostgreSQL plans by how many rows it expects.
    """
    table, before = bot_transitions, bot_transitions.alias("before")
    up = sa.and_(table.c.state == State.RUNNING.value, table.c.ready)
    columns = (table.c.bot_id, table.c.at, table.c.id, up.label("up"), table.c.expected)
    last_before = (
        sa.select(before.c.id)
        .where(before.c.bot_id == bots.c.id, before.c.at < start)
        .order_by(before.c.at.desc(), before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    led_by = sa.select(*columns).join_from(bots, table, table.c.id == last_before).where(bots.c.id.in_(bot_ids))
    inside = sa.select(*columns).where(table.c.bot_id.in_(bot_ids), table.c.at.between(start, end))
    query = sa.union_all(led_by, inside)
    return query.order_by(query.selected_columns.bot_id, query.selected_columns.at, query.selected_columns.id)


async def _marks(
    connection: AsyncConnection, bot_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = {}
    for bot_id, at, _, up, expected in await connection.execute(marks_query(bot_ids, start, end)):
        found.setdefault(bot_id, []).append(Mark(at, up, expected))
    return found


async def _seen_at(connection: AsyncConnection) -> datetime | None:
    found: datetime | None = (await connection.execute(sa.select(sa.func.max(supervisors.c.seen_at)))).scalar_one()
    return found
