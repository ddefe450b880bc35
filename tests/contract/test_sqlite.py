"""What the rest of the data layer stands on where the database is SQLite."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flotilla.db.sqlite import IN_THREAD_S, INTERRUPT_EVERY_S, OneHopConnection, connect


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[OneHopConnection]:
    held = connect(str(tmp_path / "test.db"), timeout=0.2, isolation_level=None)
    await held
    try:
        await run(held, "PRAGMA journal_mode = WAL")
        await run(held, "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        yield held
    finally:
        await held.close()


async def run(connection: OneHopConnection, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    cursor = connection.cursor()
    await cursor.execute(sql, parameters)
    return await cursor.fetchall()


def in_transaction(connection: OneHopConnection) -> bool:
    return connection.in_transaction


async def test_rows_come_with_their_description(connection: OneHopConnection) -> None:
    cursor = connection.cursor()
    assert (cursor.description, cursor.rowcount, cursor.lastrowid, await cursor.fetchall()) == (None, -1, None, [])
    await cursor.executemany("INSERT INTO things (name) VALUES (?)", [("a",), ("b",)])
    assert (cursor.rowcount, cursor.description) == (2, None)
    await cursor.execute("INSERT INTO things (name) VALUES (?) RETURNING id", ("c",))
    assert (cursor.lastrowid, await cursor.fetchall()) == (3, [(3,)])
    await cursor.execute("SELECT id, name FROM things ORDER BY id")
    assert [column[0] for column in cursor.description or ()] == ["id", "name"]
    assert await cursor.fetchall() == [(1, "a"), (2, "b"), (3, "c")]


async def test_transaction_begins_with_its_first_statement_and_is_rolled_back_whole(
    connection: OneHopConnection,
) -> None:
    connection.begin_with("BEGIN IMMEDIATE")
    assert not in_transaction(connection)
    await run(connection, "INSERT INTO things (name) VALUES ('a')")
    await run(connection, "INSERT INTO things (name) VALUES ('b')")
    assert in_transaction(connection)
    await connection.rollback()
    await connection.rollback()
    assert await run(connection, "SELECT count(*) FROM things") == [(0,)]


async def test_begin_that_was_never_used_leaks_into_nothing(connection: OneHopConnection) -> None:
    for end in (connection.rollback, connection.commit):
        connection.begin_with("BEGIN IMMEDIATE")
        await end()
        await run(connection, "SELECT 1")
        assert not in_transaction(connection)


async def test_nothing_runs_outside_of_a_transaction_that_could_not_begin(
    connection: OneHopConnection, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection.begin_with("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await run(connection, "INSERT INTO things (name) VALUES ('a')")
    other.execute("ROLLBACK")
    other.close()
    await run(connection, "INSERT INTO things (name) VALUES ('b')")
    assert in_transaction(connection)
    await connection.rollback()
    assert await run(connection, "SELECT name FROM things") == []


async def test_statement_that_was_cancelled_leaves_no_transaction_behind(
    connection: OneHopConnection, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None, timeout=0.2)
    other.execute("BEGIN IMMEDIATE")
    connection.begin_with("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(run(connection, "INSERT INTO things (name) VALUES ('late')"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not in_transaction(connection)  # not yet: its thread still waits for the lock
    other.execute("ROLLBACK")
    await connection.rollback()
    assert not in_transaction(connection)
    other.execute("INSERT INTO things (name) VALUES ('free')")
    other.close()
    assert await run(connection, "SELECT name FROM things") == [("free",)]


async def test_a_transaction_waits_for_who_writes_and_can_be_given_up_at_once(tmp_path: Path) -> None:
    patient = connect(str(tmp_path / "test.db"), timeout=60, isolation_level=None)
    await patient
    await run(patient, "PRAGMA journal_mode = WAL")
    await run(patient, "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for given_up in (True, False):
        patient.begin_with("BEGIN IMMEDIATE")
        writing = asyncio.create_task(run(patient, "INSERT INTO things (name) VALUES ('a')"))
        await asyncio.sleep(IN_THREAD_S * 3)
        assert not writing.done()
        if given_up:
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            began = asyncio.get_running_loop().time()
            await patient.rollback()
            assert asyncio.get_running_loop().time() - began < 30
    other.execute("ROLLBACK")
    other.close()
    await writing
    assert in_transaction(patient)
    await patient.commit()
    assert await run(patient, "SELECT name FROM things") == [("a",)]
    await patient.close()


@pytest.mark.parametrize("cancelled", ["the statement before it", "the commit"])
async def test_commit_is_done_whole_whoever_is_cancelled(
    connection: OneHopConnection, tmp_path: Path, cancelled: str
) -> None:
    may_go_on = threading.Event()

    def wait_then(held: sqlite3.Connection) -> sqlite3.Cursor:
        assert may_go_on.wait(60)
        return held.execute("SELECT 1")

    connection.begin_with("BEGIN IMMEDIATE")
    await run(connection, "INSERT INTO things (name) VALUES ('a')")
    tasks = {
        "the statement before it": asyncio.create_task(connection.do(wait_then)),
        "the commit": asyncio.create_task(connection.commit()),
    }
    await asyncio.sleep(0)
    tasks[cancelled].cancel()
    await asyncio.sleep(INTERRUPT_EVERY_S * 3)
    may_go_on.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert [task.cancelled() for task in tasks.values()] == [cancelled == name for name in tasks]
    await run(connection, "SELECT 1")
    other = sqlite3.connect(tmp_path / "test.db")
    assert other.execute("SELECT name FROM things").fetchall() == [("a",)]
    other.close()


async def test_statement_that_waits_behind_another_is_not_begun_when_it_was_given_up(
    connection: OneHopConnection,
) -> None:
    may_go_on = threading.Event()

    def wait_then(held: sqlite3.Connection) -> sqlite3.Cursor:
        assert may_go_on.wait(60)
        return held.execute("SELECT 1")

    before = asyncio.create_task(connection.do(wait_then))
    waiting = asyncio.create_task(run(connection, "INSERT INTO things (name) VALUES ('late')"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    may_go_on.set()
    await before
    assert await run(connection, "SELECT name FROM things") == []
