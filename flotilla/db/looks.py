"""Looks at the database itself: whether it takes writes."""

import asyncio
import os
from pathlib import Path

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.errors import RetryError

_READ_ONLY = sa.text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")


async def require_writable(database: Database) -> None:
    """Ask the database something; return if it answers and takes writes. Raises RetryError, or as `Database.read`."""
    postgresql = database.url.get_backend_name() == "postgresql"
    async with database.read() as connection:
        row = (await connection.execute(_READ_ONLY if postgresql else sa.select(1))).one()
    if postgresql and any(row):
        what = "is a standby" if row[0] else "takes no writes (default_transaction_read_only)"
        raise RetryError(
            f"PostgreSQL {what}: nothing is stored. Name its primary with FLOTILLA_DATABASE_URL, or make it writable.",
        )
    if not postgresql and (path := database.url.database):
        await asyncio.to_thread(_require_writable_file, Path(path))


def _require_writable_file(path: Path) -> None:
    # Beside the file lie its write-ahead log and that one's index.
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise RetryError(
            f"{path} cannot be written to: nothing is stored. Mend its permissions, or the disk that it lies on.",
        )
