"""Looks up what rows are to belong to, so that it is there until they are stored.

On PostgreSQL a bot can be removed between a look at it and an insert, which its foreign key then refuses. So the look
locks it as the foreign key itself would (FOR KEY SHARE): who removes it waits for the end of the transaction, and who
comes later finds it gone. SQLite has one writer at a time.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.tables import bots


async def bots_there(
    connection: AsyncConnection, ids: Iterable[str], provided: sa.ColumnElement[bool] | None = None
) -> dict[str, bool]:
    """Return which of these bots there are, with whether `provided` holds; they stay while the transaction lasts."""
    holds = sa.true() if provided is None else provided
    query = sa.select(bots.c.id, holds).where(bots.c.id.in_(set(ids))).order_by(bots.c.id)
    rows = await connection.execute(query.with_for_update(key_share=True, read=True, of=bots))
    return {row[0]: bool(row[1]) for row in rows}


async def is_there(connection: AsyncConnection, key: sa.Column[str], value: str) -> bool:
    """Return whether there is a row with this key; it stays until the transaction ends."""
    query = sa.select(key).where(key == value).with_for_update(key_share=True, read=True)
    return (await connection.execute(query)).one_or_none() is not None
