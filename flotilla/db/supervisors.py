"""The supervisors that have reported, as the API shows them."""

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import supervisors
from flotilla.domain.vitals import HostVitals, parse_host_vitals


@dataclass(frozen=True, slots=True)
class SupervisorSeen:
    """When the supervisor of a slot last said that it lives, and how its host was. seen_at: aware UTC."""

    slot: int
    pid: int
    started_at: datetime
    seen_at: datetime
    vitals: HostVitals = field(default_factory=HostVitals)


class SqlSupervisors:
    """Read side of what `FleetStore.seen` records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[SupervisorSeen]:
        """Return the last report of every slot, in the order of the slots."""
        table = supervisors
        columns = table.c.slot, table.c.pid, table.c.started_at, table.c.seen_at, table.c.vitals
        query = sa.select(*columns).order_by(table.c.slot)
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [SupervisorSeen(*row[:4], parse_host_vitals(row.vitals)) for row in rows]
