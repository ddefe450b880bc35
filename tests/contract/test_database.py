"""Database: transactions and absences, on SQLite and PostgreSQL."""

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database, parse_url
from flotilla.db.tables import bots
from flotilla.errors import RetryError, SetupError
from tests.builders import a_bot
from tests.contract.conftest import opened
from tests.services import Postgres


async def test_error_in_a_write_rolls_all_of_it_back(database: Database) -> None:
    bot = a_bot(1)
    repository = SqlBots(database)
    await repository.add(bot, b"")

    async def delete_then_fail() -> None:
        async with database.write() as connection:
            await connection.execute(bots.delete())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete_then_fail()
    assert (await repository.get(bot.id)).bot == bot


async def test_writers_at_once_wait_for_each_other(database: Database) -> None:
    bot = a_bot(1)
    repository = SqlBots(database)
    await repository.add(bot, b"")
    await asyncio.gather(*(repository.restart(bot.id) for _ in range(20)))
    assert (await repository.get(bot.id)).bot.desired_epoch == 20


async def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    bot = a_bot(1)
    repository = SqlBots(database)
    await repository.add(bot, b"")
    async with database.write() as connection:
        await connection.execute(bots.update().values(desired_epoch=9))
        assert (await asyncio.wait_for(repository.get(bot.id), 5)).bot.desired_epoch == 0
    assert (await repository.get(bot.id)).bot.desired_epoch == 9


async def test_errors_do_not_show_values(database: Database) -> None:
    secret = b"gAAAAA-what-is-stored-of-a-token"
    async with database.write() as connection:
        with pytest.raises(sa.exc.IntegrityError) as raised:
            await connection.execute(bots.insert().values(id="x", token_encrypted=secret))
        await connection.rollback()
    assert "gAAAAA" not in str(raised.value)


async def test_sqlite_that_is_not_there_is_a_retry_error(sqlite_gone: Database) -> None:
    with pytest.raises(RetryError) as raised:
        async with sqlite_gone.read():
            pass
    assert raised.value.code == "database_unavailable"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/nothing",
        "postgresql://nobody@no-such-host.invalid/nothing",
        "postgresql://nobody@/nothing?host=/no/such/folder",
    ],
)
async def test_postgres_that_is_not_there_is_a_retry_error(url: str) -> None:
    database = Database(url)
    with pytest.raises(RetryError) as raised:
        async with database.read():
            pass
    assert raised.value.code == "database_unavailable"
    await database.close()


@pytest.mark.postgres
@pytest.mark.parametrize(("user", "name"), [("postgres", "nothing"), ("nobody", "postgres")])
async def test_postgres_that_refuses_is_a_setup_error(postgres: Postgres, user: str, name: str) -> None:
    async with opened(postgres.url(name).replace("postgres@", f"{user}@")) as database:
        with pytest.raises(SetupError) as raised:
            await SqlBots(database).counts()
    assert raised.value.code == "database_refused"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://root@host/db", "postgresql://u:s3cret@host:notaport/db"])
def test_url_that_is_none_of_ours_is_a_setup_error_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as raised:
        parse_url(url)
    assert raised.value.code == "database_url_invalid"
    assert "s3cret" not in raised.value.message


def test_usual_spellings_of_urls_are_understood(tmp_path: Path) -> None:
    assert parse_url(f"sqlite:///{tmp_path}/x.db").drivername == "sqlite+aiosqlite"
    assert parse_url("postgres://u@h/d").drivername == "postgresql+asyncpg"
    assert parse_url("postgresql+psycopg://u@h/d").drivername == "postgresql+asyncpg"


def test_query_that_is_cancelled_leaves_no_thread_to_its_closed_event_loop(tmp_path: Path) -> None:
    """Programs that were stopped while they read could end with a traceback; pytest fails for one in a thread."""
    slow = sa.text(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200000) SELECT max(x) FROM n"
    )

    async def read(database: Database) -> None:
        async with database.read() as connection:
            await connection.execute(slow)

    async def stopped(delay_s: float) -> None:
        database = Database(f"sqlite:///{tmp_path / 'flotilla.db'}")
        reading = asyncio.create_task(read(database))
        await asyncio.wait({reading}, timeout=delay_s)
        reading.cancel()
        await asyncio.wait({reading})
        await database.close()

    before = set(threading.enumerate())
    for number in range(60):  # at every moment of it, its connecting included
        asyncio.run(stopped(number * 0.0005))
        assert set(threading.enumerate()) <= before


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000000000)"


@pytest.mark.parametrize(
    "slow", [f"{ENDLESS} SELECT count(*) FROM n", f"{ENDLESS} DELETE FROM bots WHERE 0 < (SELECT count(*) FROM n)"]
)
async def test_deadline_over_a_slow_write_holds_and_rolls_back(database: Database, slow: str) -> None:
    """On SQLite the deadline came when the query had ended."""
    bot = a_bot(1)
    repository = SqlBots(database)
    await repository.add(bot, b"")

    async def write() -> None:
        async with asyncio.timeout(0.2), database.write() as connection:
            await connection.execute(bots.update().values(desired_epoch=9))
            await connection.execute(sa.text(slow))

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await write()
        assert (await repository.get(bot.id)).bot.desired_epoch == 0
    await repository.restart(bot.id)
    assert (await repository.get(bot.id)).bot.desired_epoch == 1


async def test_deadline_over_a_slow_read_holds_and_the_database_answers_on(database: Database) -> None:
    """On SQLite the deadline came when the query had ended."""

    async def read(statement: str) -> int:
        async with asyncio.timeout(0.2 if "RECURSIVE" in statement else 30), database.read() as connection:
            return int((await connection.execute(sa.text(statement))).scalar_one())

    for _ in range(3):
        given_up = (read(f"{ENDLESS} SELECT count(*) FROM n") for _ in range(4))
        seen = await asyncio.gather(*given_up, return_exceptions=True)
        assert [type(each) for each in seen] == [TimeoutError] * 4
        assert await read("SELECT 1") == 1


async def test_write_that_goes_on_after_a_missed_deadline_is_not_told_to_be_stored(database: Database) -> None:
    bot = a_bot(1)
    repository = SqlBots(database)
    await repository.add(bot, b"")

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(bots.update().values(desired_epoch=9))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.execute(sa.text(f"{ENDLESS} SELECT count(*) FROM n"))

    with pytest.raises((sa.exc.SQLAlchemyError, RetryError)):
        await write()
    assert (await repository.get(bot.id)).bot.desired_epoch == 0
