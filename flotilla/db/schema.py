"""Whether the database has the shape this code expects, and how it gets it."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.errors import SetupError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
HEAD = "0013"
"""The newest revision in `migrations/`. Programs compare with it at start. Alembic takes a quarter of a second to
import and is needed only for a database that is not at it."""


class Shape(enum.Enum):
    """How the database's revision stands to the newest one this code knows."""

    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"


def alembic_config(connection: sa.Connection | None = None) -> "Config":
    """Return Alembic's configuration, bound to `connection` when given."""
    from alembic.config import Config  # noqa: PLC0415 - slow to import, see HEAD

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def shape(database: Database) -> Shape:
    """Return how the database stands to the code. An empty database is BEHIND; an unknown revision is AHEAD."""
    async with database.read() as connection:
        current = await connection.run_sync(_current_revision)
    if current == HEAD:
        return Shape.CURRENT
    if current is None:
        return Shape.BEHIND
    return Shape.BEHIND if current in _known_revisions() else Shape.AHEAD


async def is_empty(database: Database) -> bool:
    """Return whether the database has no table at all."""
    async with database.read() as connection:
        return not await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())


def _current_revision(connection: sa.Connection) -> str | None:
    version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String))
    if not sa.inspect(connection).has_table(version.name):
        return None
    return connection.execute(sa.select(version.c.version_num)).scalar_one_or_none()


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - slow to import, see HEAD

    return {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


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
    from alembic import command  # noqa: PLC0415 - slow to import, see HEAD

    # Two upgrades at once: the second waits, then finds nothing to do. On SQLite any statement takes the write lock.
    lock = "SELECT pg_advisory_xact_lock(727274)" if connection.dialect.name == "postgresql" else "SELECT 1"
    await connection.execute(sa.text(lock))
    await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
