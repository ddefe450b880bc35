"""How a database gets its shape, on SQLite and PostgreSQL."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.schema import Shape, alembic_config, require_current, shape, upgrade
from flotilla.db.tables import UtcDateTime, bot_transitions, metadata
from flotilla.errors import SetupError
from tests.builders import T0, a_bot


async def set_revision(database: Database, revision: str) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


async def test_upgrade_of_an_empty_database_makes_it_current(empty_database: Database) -> None:
    assert await shape(empty_database) is Shape.BEHIND
    await upgrade(empty_database)
    assert await shape(empty_database) is Shape.CURRENT
    await require_current(empty_database)


async def test_migrated_database_has_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_second_upgrade_changes_nothing(database: Database) -> None:
    bot = a_bot(1)
    await SqlBots(database).add(bot, b"")
    await upgrade(database)
    assert (await SqlBots(database).get(bot.id)).bot == bot


# As the first release wrote a bot.
AS_0001 = sa.text(
    "INSERT INTO bots (id, name, application_id, token_encrypted, desired, desired_epoch, created_at)"
    " VALUES (:id, :id, :id, :token, 'running', 3, :at)"
).bindparams(sa.bindparam("token", b"x"), sa.bindparam("at", T0, UtcDateTime))


async def test_rows_of_the_first_release_survive_and_it_can_go_on_writing(empty_database: Database) -> None:
    async with empty_database.write() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "0001"))
        await connection.execute(AS_0001, {"id": "before"})
        await connection.execute(sa.text("INSERT INTO bot_tags (bot_id, tag) VALUES ('before', 'kept')"))
    await upgrade(empty_database)
    async with empty_database.write() as connection:
        await connection.execute(AS_0001, {"id": "after"})
    for name, tags in (("before", ("kept",)), ("after", ())):
        bot = (await SqlBots(empty_database).get(name)).bot
        assert (bot.desired_epoch, bot.stacks_epoch, bot.tags, bot.created_at) == (3, 0, tags, T0)


async def test_transitions_recorded_before_0002_are_told_apart(empty_database: Database) -> None:
    def to_first(connection: sa.Connection) -> None:
        command.upgrade(alembic_config(connection), "0001")

    recorded = [
        ("STARTING", None, False),
        ("RUNNING", None, True),
        ("STARTING", "killed", True),
        ("STOPPING", "restart_requested", False),
        ("STOPPED", None, False),
        ("FATAL", "token_refused", True),
    ]
    bot_id = "first"
    async with empty_database.write() as connection:
        await connection.run_sync(to_first)
    async with empty_database.write() as connection:
        await connection.execute(AS_0001, {"id": bot_id})
    insert = sa.text(
        "INSERT INTO bot_transitions (bot_id, at, state, ready, generation, reason) "
        "VALUES (:bot_id, :at, :state, :ready, 1, :reason)"
    ).bindparams(sa.bindparam("at", type_=UtcDateTime))
    async with empty_database.write() as connection:
        for state, reason, _ in recorded:
            values = {"bot_id": bot_id, "at": T0, "state": state, "ready": state == "RUNNING", "reason": reason}
            await connection.execute(insert, values)
    await upgrade(empty_database)
    async with empty_database.write() as connection:
        # A program of the release before, still running.
        values = {"bot_id": bot_id, "at": T0, "state": "BACKOFF", "ready": False, "reason": "killed"}
        await connection.execute(insert, values)
    async with empty_database.read() as connection:
        query = sa.select(bot_transitions.c.expected).order_by(bot_transitions.c.id)
        found = list((await connection.execute(query)).scalars())
    assert found == [*(expected for _, _, expected in recorded), False]


async def test_upgrades_at_once_end_well(database_url: str) -> None:
    # Several engines, as several programs would have.
    databases = [Database(database_url) for _ in range(4)]
    try:
        await asyncio.gather(*(upgrade(database) for database in databases))
        assert await shape(databases[0]) is Shape.CURRENT
    finally:
        for database in databases:
            await database.close()


async def test_programs_that_meet_on_a_new_file_do_not_find_it_locked(tmp_path: Path) -> None:
    # Which of them collide is chance: about one round in twenty did, so there are many.
    for number in range(60):
        databases = [Database(f"sqlite:///{tmp_path}/{number}.db") for _ in range(8)]
        try:
            assert await asyncio.gather(*(shape(database) for database in databases)) == [Shape.BEHIND] * 8
        finally:
            await asyncio.gather(*(database.close() for database in databases))


async def test_database_without_a_shape_is_refused(empty_database: Database) -> None:
    with pytest.raises(SetupError) as raised:
        await require_current(empty_database)
    assert raised.value.code == "database_older"
    assert "flotilla db upgrade" in raised.value.message


async def test_database_of_a_newer_release_is_refused_and_left_alone(database: Database) -> None:
    await set_revision(database, "9999")
    assert await shape(database) is Shape.AHEAD
    for call in (require_current(database), upgrade(database)):
        with pytest.raises(SetupError) as raised:
            await call
        assert raised.value.code == "database_newer"
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar_one() == "9999"
