"""One way to reach the database, whichever it is: SQLite in WAL mode or PostgreSQL."""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from flotilla.db import postgresql_url
from flotilla.db.availability import Availability
from flotilla.db.faults import Blame, judge
from flotilla.db.sqlite_file import require_file, watch_file
from flotilla.errors import RetryError, SetupError

if TYPE_CHECKING:
    import aiosqlite

    from flotilla.db.sqlite import OneHopConnection

BUSY_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 1.0

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


def parse_url(url: str) -> sa.URL:
    """Return `url` with the driver this project uses.

    Accepts sqlite:///…, postgresql://… and postgres://…, with or without a driver.
    Raises SetupError (`database_url_invalid`) for anything else; a password never appears in the message.
    """
    try:
        parsed = sa.make_url(postgresql_url.with_hosts_in_query(url))
    except (sa.exc.ArgumentError, ValueError) as fault:
        raise SetupError(
            "FLOTILLA_DATABASE_URL is not a database URL. Use sqlite:////path/to/file.db or "
            "postgresql://user:password@host/database.",
            code="database_url_invalid",
        ) from fault
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise SetupError(
            f"FLOTILLA_DATABASE_URL names {parsed.get_backend_name()!r}; Flotilla speaks sqlite and postgresql.",
            code="database_url_invalid",
        )
    return parsed.set(drivername=driver)


class Database:
    """An engine with the two ways to use it: `read()` and `write()`, each one transaction.

    Both raise RetryError (`database_unavailable`) when the database is away or stays locked for BUSY_TIMEOUT_S, and
    whatever else is no fault of the row that is stored (`faults.py`). A refusal is a SetupError (`database_refused`)
    until the database has answered once: a start is given up, what runs waits until that is mended.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        parsed = parse_url(url)
        self.url = postgresql_url.without_secrets(parsed)
        self.availability = Availability()
        self._has_answered = False
        self._threads: WeakSet[Thread] = WeakSet()
        self.engine = _create_engine(parsed, pool_size, partial(_connect_sqlite, self._threads, self.has_answered))

    def has_answered(self) -> bool:
        """Return whether it ever did."""
        return self._has_answered

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that sees one state of the database and changes nothing."""
        with self._translated(write=False):
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that is committed at the end, or rolled back on an error.

        On SQLite the first statement takes the write lock: upgrading a read lock later fails at once, without waiting.
        """
        with self._translated(write=True):
            async with self.engine.connect() as connection:
                await connection.execution_options(flotilla_write=True)
                async with connection.begin():
                    yield connection

    @contextmanager
    def _translated(self, *, write: bool) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            verdict = judge(error)
            if verdict is None or verdict.blame is Blame.ROW:
                raise
            if verdict.blame is Blame.REFUSED and not self._has_answered:
                raise SetupError(verdict.sentence, code="database_refused") from error
            self.availability.failed(verdict.sentence, write=write)
            raise RetryError(verdict.sentence, code="database_unavailable") from error
        self._has_answered = True
        self.availability.worked(write=write)

    async def close(self) -> None:
        """Close all connections.

        A query of SQLite that was cancelled is interrupted, and goes on in its thread for a moment; one that ended
        after the event loop would leave a traceback, so it is waited for, up to CLOSE_TIMEOUT_S: one that hangs holds
        nothing up.
        """
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        with suppress(TimeoutError):
            await asyncio.wait_for(self.engine.dispose(), CLOSE_TIMEOUT_S)
        while any(thread.is_alive() for thread in self._threads):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(0.005)


def _create_engine(url: sa.URL, pool_size: int, connect_sqlite: Callable[..., Any]) -> AsyncEngine:
    if url.get_backend_name() == "postgresql":
        found = postgresql_url.options(url)
        pool = {"pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": CONNECT_TIMEOUT_S} | found.pool
        limits = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S}
        return create_async_engine(
            found.url, **pool, pool_pre_ping=True, hide_parameters=True, connect_args=limits | found.arguments
        )
    # At DEBUG it would log every statement with its values.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        poolclass=sa.pool.AsyncAdaptedQueuePool,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "async_creator_fn": connect_sqlite},
    )
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    if url.database not in {None, "", ":memory:"}:
        watch_file(engine.sync_engine, str(url.database))
    return engine


def _connect_sqlite(
    threads: WeakSet[Thread],
    is_made: Callable[[], bool],
    *arguments: Any,  # noqa: ANN401
    **named: Any,  # noqa: ANN401
) -> "OneHopConnection":
    """Return a connection that is still to be awaited, as the dialect would make it, and note its thread.

    is_made: whether the file has been there. Then it is not made anew: an empty one would be taken for the truth.
    """
    from flotilla.db.sqlite import connect  # noqa: PLC0415 - not needed with PostgreSQL

    if is_made():
        require_file(str(arguments[0]))

    connection = connect(*arguments, **named)
    thread: Thread = connection._thread  # noqa: SLF001 - it has no public name; SQLAlchemy's dialect uses it too
    thread.daemon = True
    threads.add(thread)
    return connection


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - DBAPI objects are untyped
    # The driver's own implicit BEGIN is switched off; `_begin_sqlite` says which kind.
    dbapi_connection.isolation_level = None
    dbapi_connection.run_async(_set_pragmas)


async def _set_pragmas(connection: "aiosqlite.Connection") -> None:
    """Set what every connection needs.

    Of two connections that switch a new file to WAL at once SQLite tells one, without waiting, that the file is locked,
    whatever its busy timeout is (SQLite documentation, sqlite3_busy_handler: it would be a deadlock).
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            await asyncio.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - jitter
    # Sorts in memory: where the root is read-only there may be no folder for temporary files.
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "temp_store = MEMORY"):
        await connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("flotilla_write", False)
    held: Any = connection.connection.driver_connection
    held.begin_with("BEGIN IMMEDIATE" if write else "BEGIN")
