"""Command logs on SQLite and PostgreSQL, and the fake that the supervisor's tests use."""

from datetime import timedelta

import pytest
from msgspec import structs
from ulid import ULID

from flotilla.db.bots import SqlBots
from flotilla.db.command_logs import CommandLogFilter, SqlCommandLogs
from flotilla.db.engine import Database
from flotilla.db.tables import bots
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.errors import FixInputError, RetryError
from flotilla.ports import CommandLogStore
from tests.builders import T0, a_bot
from tests.fakes.command_logs import MemoryCommandLogs

BIG = 2**62
ONE, TWO = a_bot(1), a_bot(2)


def a_log(second: int, **fields: object) -> CommandLog:
    at = T0 + timedelta(seconds=second)
    log = CommandLog(str(ULID.from_datetime(at)), at.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, BIG, BIG + 1)
    return structs.replace(log, **fields)


@pytest.fixture
async def logs(database: Database) -> SqlCommandLogs:
    for bot in (ONE, TWO):
        await SqlBots(database).add(bot, b"")
    return SqlCommandLogs(database)


async def found(logs: SqlCommandLogs, **wanted: object) -> list[CommandLog]:
    page = await logs.page(CommandLogFilter(**wanted), 200, None)  # type: ignore[arg-type]
    return [view.log for view in page.items]


async def test_a_log_comes_back_whole_and_once(logs: SqlCommandLogs) -> None:
    bot = ONE
    whole = a_log(
        1,
        kind=Kind.MODAL,
        name="shop buy",
        outcome=Outcome.FAILED,
        guild_id=BIG + 2,
        channel_id=BIG + 3,
        options={"item": "🍕", "amount": 3, "gift": None},
        first_ms=12.5,
        total_ms=2000.25,
        deferred=True,
        error="ValueError",
        reference="K7QW3M2A",
    )
    later = a_log(2)
    for _ in range(2):
        await logs.record_command_logs([(bot.id, whole), (bot.id, later), ("gone", a_log(3))])
    page = await logs.page(CommandLogFilter(), 50, None)
    assert [view.log for view in page.items] == [later, whole]
    assert [(view.bot_id, view.bot_name) for view in page.items] == [(bot.id, bot.name)] * 2


async def test_logs_are_narrowed(logs: SqlCommandLogs) -> None:
    first, second = ONE, TWO
    one, two = a_log(1, outcome=Outcome.FAILED, reference="K7QW3M2A"), a_log(2, kind=Kind.COMPONENT, name="buy:7")
    three = a_log(3, user_id=5, guild_id=6)
    await logs.record_command_logs([(first.id, one), (first.id, two), (second.id, three)])
    wanted: list[tuple[dict[str, object], list[CommandLog]]] = [
        ({"bot": first.name}, [two, one]),
        ({"bot": second.id}, [three]),
        ({"outcome": Outcome.FAILED}, [one]),
        ({"reference": "K7QW3M2A"}, [one]),
        ({"kind": Kind.COMPONENT}, [two]),
        ({"name": "ping"}, [three, one]),
        ({"user_id": 5}, [three]),
        ({"guild_id": 6, "bot": first.id}, []),
        ({"since": T0 + timedelta(seconds=2)}, [three, two]),
        ({"until": T0 + timedelta(seconds=2)}, [one]),
    ]
    for filters, expected in wanted:
        assert await found(logs, **filters) == expected, filters


async def test_pages_are_stable_and_foreign_cursors_refused(logs: SqlCommandLogs) -> None:
    rows = [a_log(second) for second in range(5)]
    await logs.record_command_logs([(ONE.id, row) for row in rows])
    first = await logs.page(CommandLogFilter(), 2, None)
    await logs.record_command_logs([(ONE.id, a_log(9))])
    second = await logs.page(CommandLogFilter(), 2, first.next_cursor)
    assert [view.log for view in (*first.items, *second.items)] == rows[:0:-1]
    with pytest.raises(FixInputError):
        await logs.page(CommandLogFilter(), 2, "nonsense")


async def test_old_logs_are_forgotten_a_batch_at_a_time_and_a_removed_bots_with_it(
    logs: SqlCommandLogs, database: Database
) -> None:
    bot, other = ONE, TWO
    await logs.record_command_logs([(bot.id, a_log(second)) for second in range(5)] + [(other.id, a_log(7))])
    before = T0 + timedelta(seconds=4)
    assert [await logs.forget(before, 3) for _ in range(3)] == [3, 1, 0]
    assert [log.at for log in await found(logs)] == [(T0 + timedelta(seconds=n)).timestamp() for n in (7, 4)]
    async with database.write() as connection:
        await connection.execute(bots.delete().where(bots.c.id == other.id))
    assert [log.at for log in await found(logs)] == [before.timestamp()]


async def test_the_fake_does_as_the_database(logs: SqlCommandLogs, sqlite_gone: Database) -> None:
    bot = ONE
    fake = MemoryCommandLogs(bot.id)
    rows = [(bot.id, a_log(1)), (bot.id, a_log(2)), ("gone", a_log(3))]
    for store in (fake, logs):
        for _ in range(2):
            await store.record_command_logs(rows)
    assert sorted(log.at for _, log in fake.rows.values()) == sorted(log.at for log in await found(logs))
    fake.away = True
    stores: list[CommandLogStore] = [fake, SqlCommandLogs(sqlite_gone)]
    for away in stores:
        with pytest.raises(RetryError):
            await away.record_command_logs(rows)
