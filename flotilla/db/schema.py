"""Whether the database has the shape this code expects, and how it gets it."""

import enum
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.errors import SetupError

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


class Shape(enum.Enum):
    """How the database's revision stands to the newest one this code knows."""

    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Return Alembic's configuration, bound to `connection` when given."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def shape(database: Database) -> Shape:
    """Return how the database stands to the code. An empty database is BEHIND; an unknown revision is AHEAD."""
    async with database.read() as connection:
        current = await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision(),
        )
    script = ScriptDirectory.from_config(alembic_config())
    if current == script.get_current_head():
        return Shape.CURRENT
    if current is None:
        return Shape.BEHIND
    try:
        script.get_revision(current)
    except CommandError:
        return Shape.AHEAD
    return Shape.BEHIND


async def require_current(database: Database) -> None:
    """Raise SetupError unless the database has exactly the shape of this code."""
    found = await shape(database)
    if found is Shape.AHEAD:
        raise SetupError(
            "The database was last used by a newer Flotilla than this one. Upgrade the code, or restore a backup.",
            code="database_newer",
        )
    if found is Shape.BEHIND:
        raise SetupError(
            "The database has not been brought to this release's shape yet. Run: flotilla db upgrade",
            code="database_older",
        )


async def upgrade(database: Database) -> None:
    """Bring the database to the newest revision. Raises SetupError (`database_newer`) rather than touch a newer one."""
    if await shape(database) is Shape.AHEAD:
        await require_current(database)
    async with database.write() as connection:
        await _migrate(connection)


async def _migrate(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        # Two upgrades at once: the second waits, then finds nothing to do.
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(727274)"))
    await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
