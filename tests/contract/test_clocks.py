"""The confirmed clock in the database, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from flotilla.db.bots import SqlBots
from flotilla.db.clocks import RECENT, SqlClocks
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import happenings
from flotilla.domain.bots import Transition
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.happenings import HAPPENINGS_KEPT, Happening
from flotilla.domain.worker import State
from flotilla.ids import first_id
from tests.builders import a_bot

NOW = datetime.now(UTC).replace(microsecond=0)
DAYS = timedelta(days=40)


async def test_the_first_time_the_newest_row_tells_and_then_only_what_has_passed(database: Database) -> None:
    bot, clocks, store = a_bot(1), SqlClocks(database), SqlFleetStore(database)
    await SqlBots(database).add(bot, b"")
    await store.save([], [Transition(bot.id, NOW, State.RUNNING, True, 1, None)])
    ahead = NOW + DAYS
    await store.save([], [Transition(bot.id, ahead, State.STARTING, False, 2, None)])  # by the clock that is ahead
    assert await clocks.confirm(ahead, 0) == NOW
    assert await clocks.confirm(ahead, 3600) == NOW + timedelta(days=1)
    assert await clocks.confirm(NOW, 10) == NOW
    assert await clocks.confirm(NOW + timedelta(seconds=60), 60) == NOW + timedelta(seconds=60)


async def test_a_database_without_rows_takes_the_time_as_it_is(database: Database) -> None:
    assert await SqlClocks(database).confirm(NOW, 0) == NOW


async def test_log_of_the_very_millisecond_that_is_asked_for_tells_the_time(database: Database) -> None:
    """The bound was an id with a random end, so that half of the logs of its millisecond were left out."""
    bot, at = a_bot(1), NOW - RECENT
    await SqlBots(database).add(bot, b"")
    log = CommandLog(first_id(at)[:10] + "Z" * 16, at.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2)
    await SqlCommandLogs(database).record_command_logs([(bot.id, log)])
    assert await SqlClocks(database).confirm(NOW, 0) == at


async def test_happenings_that_a_clock_ahead_has_dated_do_not_push_out_those_that_follow(database: Database) -> None:
    store = SqlFleetStore(database)

    def happened(number: int, at: datetime) -> Happening:
        return Happening(f"{number:026d}", None, at, "hearing")

    await store.record_happenings([happened(10**20 + number, NOW + DAYS) for number in range(HAPPENINGS_KEPT)])
    for number in range(3):
        await store.record_happenings([happened(number, NOW)])
    async with database.read() as connection:
        kept = (await connection.execute(sa.select(happenings.c.id).where(happenings.c.at <= NOW))).scalars().all()
    assert len(kept) == 3
