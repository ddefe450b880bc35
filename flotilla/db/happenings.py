"""What happened to bots and hosts, as operators read it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.tables import bots, happenings
from flotilla.domain.happenings import KINDS, Happening, Severity, Source


@dataclass(frozen=True, slots=True)
class HappeningFilter:
    """Which happenings a page shows; an empty part does not filter. bot: its name or id. since, until: aware UTC."""

    bot: str | None = None
    code: str | None = None
    severity: Severity | None = None
    source: Source | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class HappeningView:
    """A happening with the name of its bot; None for the host's own."""

    happening: Happening
    bot_name: str | None


class SqlHappenings:
    """Read side of what `FleetStore.record_happenings` stores."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: HappeningFilter, limit: int, cursor: str | None) -> Page[HappeningView]:
        """Return up to `limit` happenings, the newest first. Raises FixInputError for a malformed cursor."""
        table = happenings
        query = sa.select(table, bots.c.name.label("bot_name")).outerjoin(bots).order_by(table.c.id.desc())
        if wanted.bot is not None:
            query = query.where(sa.or_(bots.c.name == wanted.bot, bots.c.id == wanted.bot))
        if wanted.code is not None:
            query = query.where(table.c.code == wanted.code)
        if wanted.severity is not None:
            codes = [kind.code for kind in KINDS.values() if kind.severity is wanted.severity]
            query = query.where(table.c.code.in_(codes))
        if wanted.source is not None:
            codes = [kind.code for kind in KINDS.values() if kind.source is wanted.source]
            query = query.where(table.c.code.in_(codes))
        if wanted.since is not None:
            query = query.where(table.c.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(table.c.at < wanted.until)
        async with self._database.read() as connection:
            page = await select_keyset_page(connection, query, limit, cursor)
        return Page([_view(row) for row in page.items], page.next_cursor)


def _view(row: sa.Row[tuple[object, ...]]) -> HappeningView:
    return HappeningView(Happening(row.id, row.bot_id, row.at, row.code, row.detail), row.bot_name)
