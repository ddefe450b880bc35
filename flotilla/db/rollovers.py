"""Roll-overs: asked for by the API, reported by the supervisor; each writes a table of its own."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.parents import is_there
from flotilla.db.tables import UtcDateTime, bot_status, rollover_status, rollovers
from flotilla.db.upsert import upsert
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus, RolloverView
from flotilla.errors import ConflictError, NotFoundError

_UNFINISHED = sa.or_(
    rollover_status.c.phase.is_(None), rollover_status.c.phase.not_in([phase.value for phase in FINISHED])
)


class SqlRollovers:
    """Both sides, on SQLite or PostgreSQL; for the supervisor it is its `RolloverStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # The API's side --------------------------------------------------------------------------------------------------

    async def request(self, request: RolloverRequest) -> RolloverView:
        """Ask for a roll-over. Raises ConflictError (`rollover_under_way`) while another one is not finished."""
        async with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                # Of two that ask at once one waits, and then finds the other's. SQLite has one writer at a time.
                await connection.execute(sa.text("LOCK TABLE rollovers IN SHARE ROW EXCLUSIVE MODE"))
            found = await _first(connection, _views().where(_UNFINISHED))
            if found is not None:
                raise ConflictError(
                    f"Roll-over {found.request.id} is under way ({found.status.phase}), and there is one at a time. "
                    "It ends by itself; `flotilla supervisor rollovers` shows how far it is.",
                    code="rollover_under_way",
                )
            await connection.execute(rollovers.insert().values(**asdict(request)))
        return RolloverView(request, RolloverStatus(request.id, Phase.PENDING))

    async def get(self, rollover_id: str) -> RolloverView:
        """Return one roll-over. Raises NotFoundError (`rollover_unknown`)."""
        async with self._database.read() as connection:
            found = await _first(connection, _views().where(rollovers.c.id == rollover_id))
        if found is None:
            raise NotFoundError("There is no roll-over with this id.", code="rollover_unknown")
        return found

    async def page(self, limit: int, cursor: str | None) -> Page[RolloverView]:
        """Return up to `limit` roll-overs, newest first. Raises FixInputError for the cursor."""
        async with self._database.read() as connection:
            rows = await select_keyset_page(connection, _views().order_by(rollovers.c.id.desc()), limit, cursor)
        return Page([_view(row) for row in rows.items], rows.next_cursor)

    async def forget(self, before: datetime, batch: int) -> int:
        """Remove up to `batch` roll-overs that were finished before `before`, and return how many.

        The one with the highest fork server stays, so that `last_server` never goes back.
        """
        ended_at = sa.func.coalesce(rollover_status.c.finished_at, rollovers.c.created_at, type_=UtcDateTime())
        newest = sa.select(sa.func.max(rollover_status.c.new_server)).scalar_subquery()
        below = sa.or_(rollover_status.c.new_server.is_(None), rollover_status.c.new_server < newest)
        old = sa.select(rollovers.c.id).join(rollover_status).where(sa.not_(_UNFINISHED), ended_at < before, below)
        gone = rollovers.delete().where(rollovers.c.id.in_(old.order_by(rollovers.c.id).limit(batch)))
        async with self._database.write() as connection:
            return int((await connection.execute(gone)).rowcount)

    # The supervisor's side -------------------------------------------------------------------------------------------

    async def unfinished(self) -> RolloverView | None:
        async with self._database.read() as connection:
            return await _first(connection, _views().where(_UNFINISHED).order_by(rollovers.c.id))

    async def save(self, status: RolloverStatus) -> None:
        values = asdict(status) | {"phase": status.phase.value}
        async with self._database.write() as connection:
            if await is_there(connection, rollovers.c.id, status.rollover_id):
                await connection.execute(upsert(connection.dialect.name, rollover_status, "rollover_id"), [values])

    async def last_server(self) -> int:
        highest = (sa.func.max(column) for column in (bot_status.c.fork_server, rollover_status.c.new_server))
        async with self._database.read() as connection:
            return max([(await connection.execute(sa.select(number))).scalar() or 0 for number in highest])


def _views() -> sa.Select[Any]:
    observed = [column.label(f"status_{column.name}") for column in rollover_status.c]
    return sa.select(*rollovers.c, *observed).select_from(rollovers.outerjoin(rollover_status))


async def _first(connection: AsyncConnection, query: sa.Select[Any]) -> RolloverView | None:
    row = (await connection.execute(query.limit(1))).first()
    return None if row is None else _view(row)


def _view(row: sa.Row[Any]) -> RolloverView:
    request = RolloverRequest(row.id, row.requested_by, row.created_at)
    if row.status_rollover_id is None:
        return RolloverView(request, RolloverStatus(row.id, Phase.PENDING))
    observed = {column.name: getattr(row, f"status_{column.name}") for column in rollover_status.c}
    return RolloverView(request, RolloverStatus(**observed | {"phase": Phase(observed["phase"])}))
