"""Claims on slots in the database: each step is one transaction, and times are the database's own."""

from dataclasses import fields
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.tables import UtcDateTime, supervisor_claims
from flotilla.domain.claims import Claim, Claimant, Standing, standing

HELD = sa.exists().where(
    supervisor_claims.c.slot == sa.bindparam("claim_slot"), supervisor_claims.c.epoch == sa.bindparam("claim_epoch")
)
"""Whether a claim is still held, to be asked within a transaction that must not be anybody else's."""

_COLUMNS = tuple(field.name for field in fields(Claimant))


class SqlClaims:
    """`ClaimStore` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, slot: int) -> Claim | None:
        async with self._database.read() as connection:
            return await _read(connection, slot)

    async def take(self, slot: int, mine: Claimant, over: Claim | None = None) -> Claim:
        async with self._database.write() as connection:
            held = await _read(connection, slot, lock=True)
            may_have = standing(mine, held) is Standing.FREE
            as_seen = held is not None and over is not None and (held.epoch, held.beats) == (over.epoch, over.beats)
            if held is not None and not may_have and not as_seen:
                return held
            row = {name: getattr(mine, name) for name in _COLUMNS} | {
                "epoch": 1 if held is None else held.epoch + 1,
                "beats": 0,
                "claimed_at": now(connection),
                "beat_at": now(connection),
                "released": False,
                # One that lives is still to yield; the next start of the same home goes on waiting for it.
                "yielded": held is None or (may_have and (held.yielded or held.released)),
            }
            if held is None:
                dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
                first = dialect.insert(supervisor_claims).values(slot=slot, **row)
                await connection.execute(first.on_conflict_do_nothing())  # of two at once, one is
            else:
                await connection.execute(supervisor_claims.update().where(_of(slot)).values(**row))
            taken = await _read(connection, slot)
        if taken is None:
            raise RuntimeError("a claim that was just stored is not there")
        return taken

    async def beat(self, slot: int, epoch: int) -> bool:
        table = supervisor_claims
        async with self._database.write() as connection:
            beaten = table.update().where(_of(slot, epoch)).values(beats=table.c.beats + 1, beat_at=now(connection))
            return (await connection.execute(beaten)).rowcount > 0

    async def adopted(self, slot: int, epoch: int, boot_id: str) -> None:
        await self._change(slot, epoch, processes_boot_id=boot_id)

    async def release(self, slot: int, epoch: int) -> None:
        await self._change(slot, epoch, released=True)

    async def yield_to(self, slot: int, epoch: int) -> None:
        await self._change(slot, epoch, yielded=True)

    async def _change(self, slot: int, epoch: int, **values: object) -> None:
        async with self._database.write() as connection:
            await connection.execute(supervisor_claims.update().where(_of(slot, epoch)).values(**values))


def now(connection: AsyncConnection) -> sa.ColumnElement[Any]:
    """Return the database's own time, as a column of `UtcDateTime` stores it."""
    if connection.dialect.name == "sqlite":
        return sa.func.strftime("%Y-%m-%d %H:%M:%f000", "now", type_=UtcDateTime)
    return sa.func.clock_timestamp(type_=UtcDateTime)


def _of(slot: int, epoch: int | None = None) -> sa.ColumnElement[bool]:
    mine = supervisor_claims.c.slot == slot
    return mine if epoch is None else sa.and_(mine, supervisor_claims.c.epoch == epoch)


async def _read(connection: AsyncConnection, slot: int, *, lock: bool = False) -> Claim | None:
    query = sa.select(supervisor_claims, now(connection).label("read_at")).where(_of(slot))
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        return None
    return Claim(
        Claimant(*(getattr(row, name) for name in _COLUMNS)),
        row.epoch,
        row.beats,
        row.claimed_at,
        row.beat_at,
        row.read_at,
        row.released,
        row.yielded,
        row.processes_boot_id,
    )
