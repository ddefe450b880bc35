"""Every repository is tested on both databases."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.engine import Database
from flotilla.db.schema import upgrade
from tests.services import Postgres, Valkey, running_postgres, running_valkey

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server per run, shared by the workers of xdist."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or ULID()
    with running_postgres(f"contract-{run}") as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_valkey(tmp_path_factory.mktemp("valkey") / "v.sock") as server:
        yield server


async def _administer(url: str, statement: str) -> None:
    async with opened(url) as database, database.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(sa.text(statement))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'flotilla.db'}"


@pytest.fixture
async def postgresql_url(postgres: Postgres) -> AsyncIterator[str]:
    """URL of an empty database."""
    name = f"t{ULID()}".lower()
    await _administer(postgres.url(), f"CREATE DATABASE {name}")
    yield postgres.url(name)
    await _administer(postgres.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    async with opened(sqlite_url) as database:
        await upgrade(database)
        yield database


@pytest.fixture
async def postgresql_database(postgresql_url: str) -> AsyncIterator[Database]:
    async with opened(postgresql_url) as database:
        await upgrade(database)
        yield database


@pytest.fixture
async def sqlite_gone(tmp_path: Path) -> AsyncIterator[Database]:
    """A database whose folder does not exist."""
    before = set(threading.enumerate())
    async with opened(f"sqlite:///{tmp_path}/no/such/folder.db") as database:
        yield database
    # aiosqlite ends the thread of a connection that failed a moment later, and needs the loop for it.
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 10)


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    """Which of the two databases a test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, backend: str) -> str:
    """URL of an empty database."""
    return str(request.getfixturevalue(f"{backend}_url"))


@pytest.fixture
async def empty_database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
def database(request: pytest.FixtureRequest, backend: str) -> Database:
    """A database in this release's shape, without a row."""
    found: Database = request.getfixturevalue(f"{backend}_database")
    return found
