"""SQLite's file under our connections: whether it is still the one that its path names."""

import os
import sqlite3
from typing import Any

import sqlalchemy as sa

Identity = tuple[int, int]


def require_file(path: str) -> None:
    """Raise SQLite's own error for a file that cannot be opened if there is none: connecting would make it."""
    if path != ":memory:" and not path.startswith("file:") and not os.path.exists(path):  # noqa: PTH110 - for each one
        fault = sqlite3.OperationalError("unable to open database file")
        fault.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise fault


def watch_file(engine: sa.Engine, path: str) -> None:
    """Have connections to a file that was removed or replaced closed when they are next used.

    They would go on reading and writing what nobody else sees, and lose it with the last of them.
    """

    def note(_connection: object, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        record.info["file"] = _identity(path)

    def check(_connection: object, record: Any, _proxy: object) -> None:  # noqa: ANN401 - SQLAlchemy's
        if record.info.get("file") != _identity(path):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "connect", note)
    sa.event.listen(engine, "checkout", check)


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at each use of a connection: a tenth of what pathlib takes
    except OSError:
        return None
    return found.st_dev, found.st_ino
