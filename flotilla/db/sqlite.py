"""SQLite with one hop to its thread for each statement.

aiosqlite makes a hop of each call: to make a cursor, to execute, to fetch, to close. A hop costs as much as a small
statement, so here a statement is one, its rows included, and the beginning of its transaction as well.
"""

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import aiosqlite

Rows = list[Any]
_Description = tuple[tuple[Any, ...], ...]


class _Done:
    """A statement that was executed, with all its rows."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.description: _Description | None = cursor.description
        self.rows: Rows = cursor.fetchall() if cursor.description else []
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        cursor.close()


class OneHopConnection(aiosqlite.Connection):
    """What SQLAlchemy's dialect for aiosqlite needs of a connection."""

    _begin: str | None = None
    _under_way = 0

    def begin_with(self, statement: str) -> None:
        """Begin a transaction with `statement` right before the next one is executed."""
        self._begin = statement

    def cursor(self) -> "OneHopCursor":  # type: ignore[override] # as little of a cursor as the dialect uses
        return OneHopCursor(self)

    async def do(self, execute: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> _Done:
        """Execute a statement and fetch its rows."""
        begin, self._begin = self._begin, None

        def run() -> _Done:
            if begin is not None:
                self._conn.execute(begin).close()
            return _Done(execute(self._conn))

        try:
            done: _Done = await self._execute(run)
        except sqlite3.Error:
            if not self.in_transaction:
                self._begin = begin  # whoever goes on after that must not do so outside of the transaction
            raise
        return done

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - aiosqlite's
        self._under_way += 1
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call] # as aiosqlite has it
        except asyncio.CancelledError:
            # It may still run in the thread, so from now on nobody but the thread can say how things stand.
            self._under_way += 1
            raise
        finally:
            self._under_way -= 1

    async def rollback(self) -> None:
        """Roll back what there is to roll back: after a commit it is nothing."""
        self._begin = None
        if self._under_way or self.in_transaction:
            await super().rollback()
            self._under_way = 0

    async def commit(self) -> None:
        """Commit. Without a statement there is nothing to commit."""
        self._begin = None
        await super().commit()


def connect(database: str, **options: Any) -> OneHopConnection:  # noqa: ANN401 - those of sqlite3.connect
    """Return a connection that is still to be awaited. Its thread ends with it."""
    return OneHopConnection(functools.partial(sqlite3.connect, database, **options), iter_chunk_size=1)


class OneHopCursor:
    """One statement at a time; its rows are in memory."""

    arraysize = 1

    def __init__(self, connection: OneHopConnection) -> None:
        self._connection = connection
        self._done: _Done | None = None

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> _Description | None:
        return None if self._done is None else self._done.description

    @property
    def rowcount(self) -> int:
        return -1 if self._done is None else self._done.rowcount

    @property
    def lastrowid(self) -> int | None:
        return None if self._done is None else self._done.lastrowid

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._done = await self._connection.do(lambda connection: connection.execute(sql, parameters))

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._done = await self._connection.do(lambda connection: connection.executemany(sql, parameters))

    async def fetchall(self) -> Rows:
        return [] if self._done is None else self._done.rows

    async def close(self) -> None:
        """Nothing is open: the statement was finished when its rows were fetched."""
