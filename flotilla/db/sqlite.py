"""SQLite with one hop to its thread for each statement.

aiosqlite makes a hop of each call: to make a cursor, to execute, to fetch, to close. A hop costs as much as a small
statement, so here a statement is one, its rows included, and the beginning of its transaction as well.
"""

import asyncio
import functools
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import aiosqlite

IN_THREAD_S = 0.1
PAUSE_S = 0.005, 0.025
INTERRUPT_EVERY_S = 0.005
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


class _Statement:
    """One in the thread, which can be given up from outside of it, and nothing else in the thread by that."""

    def __init__(self, connection: sqlite3.Connection, run: Callable[[], _Done]) -> None:
        self._connection = connection
        self._run = run
        self._lock = threading.Lock()
        self._given_up = self._over = False

    def __call__(self) -> _Done:
        """In the thread."""
        try:
            if self._given_up:
                raise sqlite3.OperationalError("interrupted")
            return self._run()
        finally:
            with self._lock:
                self._over = True

    def give_up(self) -> None:
        """Interrupt it until it is over: SQLite forgets an interrupt that comes before or between its own steps."""
        with self._lock:  # so that it cannot end meanwhile, and what is interrupted be the commit of somebody else
            self._given_up = True
            if self._over:
                return
            self._connection.interrupt()
        asyncio.get_running_loop().call_later(INTERRUPT_EVERY_S, self.give_up)


class OneHopConnection(aiosqlite.Connection):
    """What SQLAlchemy's dialect for aiosqlite needs of a connection."""

    patience_s = 0.0
    """For how long a transaction waits for its beginning while somebody else writes."""

    _begin: str | None = None
    _under_way = 0

    def begin_with(self, statement: str) -> None:
        """Begin a transaction with `statement` right before the next one is executed."""
        self._begin = statement

    def cursor(self) -> "OneHopCursor":  # type: ignore[override] # as little of a cursor as the dialect uses
        return OneHopCursor(self)

    async def do(self, execute: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> _Done:
        """Execute a statement and fetch its rows. One that begins a transaction waits for who has the lock.

        Whoever is cancelled meanwhile does not wait for the statement: it is interrupted. What is left of its
        transaction is to be rolled back. A commit is never interrupted.
        """
        begin, self._begin = self._begin, None
        now = asyncio.get_running_loop().time
        deadline = now() + self.patience_s
        while True:
            try:
                done = await self._interruptible(lambda: self._run(begin, execute))
            except sqlite3.Error as fault:
                if begin is None or not _is_busy(fault) or now() >= deadline:
                    if not self.in_transaction:
                        self._begin = begin  # whoever goes on after that must not do so outside of the transaction
                    raise
            else:
                return done
            await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - jitter

    async def _interruptible(self, run: Callable[[], _Done]) -> _Done:
        statement = _Statement(self._conn, run)
        try:
            done: _Done = await self._execute(statement)
        except asyncio.CancelledError:
            statement.give_up()
            raise
        return done

    def _run(self, begin: str | None, execute: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> _Done:
        """In the thread."""
        if begin is None:
            return _Done(execute(self._conn))
        self._conn.execute(begin).close()
        try:
            return _Done(execute(self._conn))
        except sqlite3.OperationalError as fault:
            if _is_busy(fault):
                self._conn.rollback()  # nothing was done yet, so it may be begun anew
            raise

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


def connect(database: str, *, timeout: float, **options: Any) -> OneHopConnection:  # noqa: ANN401 - sqlite3.connect's
    """Return a connection that is still to be awaited. Its thread ends with it.

    timeout: seconds to wait for who has the lock; no more than IN_THREAD_S of it in the thread, where nobody could end
    it: a program that is to end while the file is locked would have to wait.
    """
    connector = functools.partial(sqlite3.connect, database, timeout=min(timeout, IN_THREAD_S), **options)
    connection = OneHopConnection(connector, iter_chunk_size=1)
    connection.patience_s = timeout
    return connection


def _is_busy(fault: sqlite3.Error) -> bool:
    code = getattr(fault, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


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
