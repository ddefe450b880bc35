"""The supervisors that have reported, as the API shows them."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import supervisors


@dataclass(frozen=True, slots=True)
class SupervisorSeen:
    """When the supervisor of a slot last said that it lives. seen_at: aware UTC."""

    slot: int
    pid: int
    started_at: datetime
    seen_at: datetime


class SqlSupervisors:
    """Read side of what `FleetStore.seen` records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[SupervisorSeen]:
        """Return the last report of every slot, in the order of the slots."""
        table = supervisors
        query = sa.select(table.c.slot, table.c.pid, table.c.started_at, table.c.seen_at).order_by(table.c.slot)
        async with self._database.read() as connection:
            return [SupervisorSeen(*row) for row in await connection.execute(query)]
