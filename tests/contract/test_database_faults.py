"""Whose fault an error is, provoked on the real databases: the row's, nobody's for long, or the settings'."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # it has no types
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.faults import Blame, judge
from flotilla.errors import RetryError, SetupError
from tests.contract.conftest import opened

ROW, AWAY, REFUSED = Blame.ROW, Blame.AWAY, Blame.REFUSED

BY_STATE = {
    "08006": AWAY,  # the connection failed
    "0A000": AWAY,  # not supported: a plan that was cached before a migration
    "21000": ROW,  # cardinality
    "22001": ROW,  # too long for its column
    "22003": ROW,  # out of range
    "22021": ROW,  # not a character of the encoding
    "22P05": ROW,  # a character that cannot be translated
    "23502": ROW,
    "23503": ROW,
    "23505": ROW,
    "23514": ROW,
    "25006": AWAY,  # read-only
    "26000": AWAY,  # a prepared statement that a pooler has taken away
    "28000": REFUSED,
    "28P01": REFUSED,  # the password
    "34000": AWAY,
    "3D000": REFUSED,  # no such database
    "3F000": AWAY,
    "40001": AWAY,
    "40P01": AWAY,  # deadlock
    "42501": REFUSED,  # privilege
    "42703": AWAY,
    "42P01": AWAY,  # no such table: a restore is under way
    "44000": ROW,
    "53100": AWAY,  # disk full
    "53200": AWAY,  # out of memory
    "53300": AWAY,  # too many connections
    "54000": ROW,  # too large for an index
    "55000": AWAY,  # takes no connections now
    "55P03": AWAY,  # lock not available
    "57014": AWAY,  # cancelled
    "57P01": AWAY,  # shutting down
    "57P02": AWAY,
    "57P03": AWAY,  # starting up
    "57P04": AWAY,  # the database was dropped
    "58030": AWAY,  # the server's disk
    "F0000": AWAY,
    "P0001": AWAY,
    "XX000": AWAY,
    "XX001": AWAY,  # damaged data
}


@pytest.fixture
async def connection(postgresql_url: str) -> AsyncIterator[AsyncConnection]:
    async with opened(postgresql_url) as database, database.engine.connect() as connection:
        yield connection


async def blame_of(connection: AsyncConnection, statement: str, **values: object) -> Blame | None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - what it is, is what is asked
        await connection.execute(sa.text(statement), values)
    await connection.rollback()
    verdict = judge(raised.value)
    return None if verdict is None else verdict.blame


@pytest.mark.postgres
async def test_every_class_of_postgresqls_errors_is_somebodys_fault(connection: AsyncConnection) -> None:
    found = {}
    for state in BY_STATE:
        found[state] = await blame_of(connection, f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
    assert found == BY_STATE


def test_no_class_of_postgresqls_errors_is_left_out() -> None:
    known = {state[:2] for state in BY_STATE}
    kinds = [kind for kind in vars(asyncpg.exceptions).values() if isinstance(kind, type)]
    classes = {str(state)[:2] for kind in kinds if (state := getattr(kind, "sqlstate", None))}
    # Of statements that we do not use: all are away, since no row is to blame.
    unused = {"01", "02", "03", "09", "0B", "0F", "0L", "0P", "0Z", "10", "20", "24", "27", "2B", "2D", "2F", "38"}
    assert classes - known - unused - {"00", "25", "26", "39", "3B", "72", "HV"} == set()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("SELECT CAST(:v AS integer)", 2**40),  # asyncpg itself refuses it, before anything is sent
        ("SELECT CAST(:v AS timestamptz)", "yesterday"),
        ("SELECT CAST(:v AS text)", "a\0b"),
        ("SELECT CAST(CAST(:v AS text) AS smallint)", "70000"),
    ],
)
async def test_a_value_that_postgresql_cannot_hold_is_the_rows_fault(
    connection: AsyncConnection, statement: str, value: object
) -> None:
    assert await blame_of(connection, statement, v=value) is ROW


@pytest.mark.parametrize(
    ("statement", "blame"),
    [
        ("INSERT INTO t VALUES (NULL)", ROW),
        ("INSERT INTO t VALUES (zeroblob(2000000000))", ROW),
        ("SELECT * FROM nothing", AWAY),
        ("SELECT nothing FROM t", AWAY),
    ],
)
async def test_sqlites_errors_are_somebodys_fault(sqlite_url: str, statement: str, blame: Blame) -> None:
    async with opened(sqlite_url) as database, database.engine.connect() as connection:
        await connection.execute(sa.text("CREATE TABLE t (a INTEGER NOT NULL)"))
        await connection.commit()
        assert await blame_of(connection, statement) is blame


async def test_a_value_that_sqlite_cannot_bind_is_the_rows_fault(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database, database.engine.connect() as connection:
        assert await blame_of(connection, "SELECT :v", v=object()) is ROW


async def test_a_full_disk_is_away_and_says_so(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database:
        async with database.write() as connection:
            await connection.execute(sa.text("CREATE TABLE t (a)"))

        async def fill() -> None:
            async with database.write() as connection:
                await connection.execute(sa.text("PRAGMA max_page_count = 3"))
                await connection.execute(sa.text("INSERT INTO t VALUES (zeroblob(100000))"))

        with pytest.raises(RetryError, match="disk of the database is full"):
            await fill()


async def _read(database: Database) -> object:
    async with database.read() as connection:
        return (await connection.execute(sa.text("SELECT count(*) FROM t"))).scalar_one()


async def _make(path: Path, rows: int) -> None:
    async with opened(f"sqlite:///{path}") as database, database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE t (a)"))
        for _ in range(rows):
            await connection.execute(sa.text("INSERT INTO t VALUES (randomblob(3000))"))


def _replace(path: Path, content: bytes) -> None:
    """As a new file: what is overwritten in place may be seen only when SQLite's cache lets go of the pages."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.rename(path)


async def test_garbage_in_the_file_is_final_at_start_and_away_later(tmp_path: Path) -> None:
    path = tmp_path / "flotilla.db"
    await _make(path, 200)
    whole = path.read_bytes()
    async with opened(f"sqlite:///{path}") as running:
        assert await _read(running) == 200
        for damaged in (b"garbage " * 512 + whole[4096:], whole[:4096] + b"\xff" * (len(whole) - 4096)):
            _replace(path, damaged)
            with pytest.raises(RetryError, match="put a backup in its place"):
                await _read(running)
            async with opened(f"sqlite:///{path}") as starting:
                with pytest.raises(SetupError, match="put a backup in its place") as raised:
                    await _read(starting)
                assert raised.value.code == "database_refused"
        _replace(path, whole)
        assert await _read(running) == 200


async def test_a_file_that_is_gone_is_missed_and_not_made_anew(tmp_path: Path) -> None:
    path, aside = tmp_path / "flotilla.db", tmp_path / "aside.db"
    await _make(path, 1)
    async with opened(f"sqlite:///{path}") as running:
        assert await _read(running) == 1
        path.rename(aside)
        with pytest.raises(RetryError, match="Put it back"):
            await _read(running)
        assert not path.exists()
        aside.rename(path)
        assert await _read(running) == 1


async def test_a_file_that_was_put_in_its_place_is_what_is_read(tmp_path: Path) -> None:
    path, backup = tmp_path / "flotilla.db", tmp_path / "backup.db"
    await _make(path, 1)
    await _make(backup, 2)
    async with opened(f"sqlite:///{path}") as running:
        assert await _read(running) == 1
        backup.rename(path)
        assert await _read(running) == 2


async def test_reads_that_succeed_do_not_hide_that_nothing_can_be_written(sqlite_url: str, tmp_path: Path) -> None:
    async with opened(sqlite_url) as database:
        told: list[str] = []
        async with database.write() as connection:
            await connection.execute(sa.text("CREATE TABLE t (a)"))
        database.availability._on_back = lambda why, _away_s: told.append(why)
        holder = sqlite3.connect(tmp_path / "flotilla.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with database.write() as connection:
                await connection.execute(sa.text("INSERT INTO t VALUES (1)"))

        with pytest.raises(RetryError, match="Another program holds the database"):
            await asyncio.wait_for(write(), 60)
        await _read(database)
        assert told == []
        holder.execute("ROLLBACK")
        holder.close()
        await write()
        assert len(told) == 1
