"""What users did with the bots: stored by the supervisor, read by operators, forgotten in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from msgspec import structs
from sqlalchemy.dialects import postgresql, sqlite

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.parents import bots_there
from flotilla.db.tables import bots, command_logs
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.ids import first_id


@dataclass(frozen=True, slots=True)
class CommandLogFilter:
    """Which logs a page shows; an empty part does not filter. bot: a bot's name or id. since, until: aware UTC."""

    bot: str | None = None
    kind: Kind | None = None
    name: str | None = None
    outcome: Outcome | None = None
    user_id: int | None = None
    guild_id: int | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommandLogView:
    """A log with its bot."""

    log: CommandLog
    bot_id: str
    bot_name: str


class SqlCommandLogs:
    """`CommandLogStore` on SQLite or PostgreSQL, and its read side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_command_logs(self, rows: Sequence[tuple[str, CommandLog]]) -> None:
        ids = {bot_id for bot_id, _ in rows}
        async with self._database.write() as connection:
            known = await bots_there(connection, ids)
            values = [_values(bot_id, log) for bot_id, log in rows if bot_id in known]
            if values:
                dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
                await connection.execute(dialect.insert(command_logs).on_conflict_do_nothing(), values)

    async def page(self, wanted: CommandLogFilter, limit: int, cursor: str | None) -> Page[CommandLogView]:
        """Return up to `limit` logs, the newest first. Raises FixInputError for a malformed cursor."""
        table = command_logs
        query = sa.select(table, bots.c.name.label("bot_name")).join(bots).order_by(table.c.id.desc())
        if wanted.bot is not None:
            # Two steps: with a join the database would walk all bots' logs to find those of one.
            found = sa.select(bots.c.id).where(sa.or_(bots.c.name == wanted.bot, bots.c.id == wanted.bot))
            query = query.where(table.c.bot_id.in_(found))
        for column in ("kind", "name", "outcome", "user_id", "guild_id", "reference"):
            value = getattr(wanted, column)
            if value is not None:
                query = query.where(table.c[column] == value)
        # Ids begin with their time.
        if wanted.since is not None:
            query = query.where(table.c.id >= first_id(wanted.since))
        if wanted.until is not None:
            query = query.where(table.c.id < first_id(wanted.until))
        async with self._database.read() as connection:
            page = await select_keyset_page(connection, query, limit, cursor)
        return Page([_view(row) for row in page.items], page.next_cursor)

    async def forget(self, before: datetime, batch: int) -> int:
        """Remove up to `batch` logs from before `before`, the oldest first; return how many."""
        table = command_logs
        old = sa.select(table.c.id).where(table.c.id < first_id(before)).order_by(table.c.id).limit(batch)
        async with self._database.write() as connection:
            result = await connection.execute(table.delete().where(table.c.id.in_(old)))
            return int(result.rowcount)


def _values(bot_id: str, log: CommandLog) -> dict[str, object]:
    return structs.asdict(log) | {"bot_id": bot_id, "at": datetime.fromtimestamp(log.at, UTC)}


def _view(row: sa.Row[tuple[object, ...]]) -> CommandLogView:
    log = CommandLog(
        row.id,
        row.at.timestamp(),
        Kind(row.kind),
        row.name,
        Outcome(row.outcome),
        row.interaction_id,
        row.user_id,
        row.guild_id,
        row.channel_id,
        row.options,
        row.first_ms,
        row.total_ms,
        row.deferred,
        row.error,
        row.reference,
    )
    return CommandLogView(log, row.bot_id, row.bot_name)
