"""Looks up what rows are to belong to, so that it is there until they are stored.

On PostgreSQL a bot can be removed between a look at it and an insert, which its foreign key then refuses. So the look
locks it as the foreign key itself would (FOR KEY SHARE): who removes it waits for the end of the transaction, and who
comes later finds it gone. SQLite has one writer at a time.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.claims import HELD
from flotilla.db.tables import bots


def _there(provided: sa.ColumnElement[bool]) -> sa.Select[str, bool]:
    """Made once: the supervisor asks several times for each start of a worker."""
    query = sa.select(bots.c.id, provided).where(bots.c.id.in_(sa.bindparam("ids", expanding=True)))
    return query.order_by(bots.c.id).with_for_update(key_share=True, read=True, of=bots)


_THERE, _THERE_UNDER_A_CLAIM = _there(sa.true()), _there(HELD)


async def bots_there(
    connection: AsyncConnection, ids: Iterable[str], fence: tuple[int, int] | None = None
) -> dict[str, bool]:
    """Return which of these bots there are, and whether the claim is still held; they stay while the transaction lasts.

    fence: slot and epoch of the claim; None: nobody's is asked for.
    """
    values: dict[str, object] = {"ids": list(set(ids))}
    if fence is not None:
        values |= {"claim_slot": fence[0], "claim_epoch": fence[1]}
    rows = await connection.execute(_THERE if fence is None else _THERE_UNDER_A_CLAIM, values)
    return {row[0]: bool(row[1]) for row in rows}


async def is_there(connection: AsyncConnection, key: sa.Column[str], value: str) -> bool:
    """Return whether there is a row with this key; it stays until the transaction ends."""
    query = sa.select(key).where(key == value).with_for_update(key_share=True, read=True)
    return (await connection.execute(query)).one_or_none() is not None
