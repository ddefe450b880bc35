"""What neither database can store ends nothing: it is found among what came with it, and everything else is stored."""

from typing import Any

import sqlalchemy as sa
from ulid import ULID

from flotilla.db.bots import SqlBots
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import bot_status, command_logs, happenings
from flotilla.domain.bots import BotStatus
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.worker import State
from flotilla.protocol import CommandsRan, CommandsStored, ToWorker
from supervisor.chronicle import Chronicle
from supervisor.command_logs import CommandLogs
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.spool import Spool
from tests.builders import T0, a_bot

TOO_LARGE = 2**63
LIAR, HONEST = Member(a_bot(1)), Member(a_bot(2))


def a_log(interaction_id: int) -> CommandLog:
    return CommandLog(
        str(ULID()), T0.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, interaction_id, 7, options={"a": 1}
    )


async def rows_of(database: Database, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(query)]


async def test_command_logs_that_cannot_be_stored_are_told_on_answered_and_cost_nobody_else(
    database: Database, tmp_path: Any
) -> None:
    for member in (LIAR, HONEST):
        await SqlBots(database).add(member.bot, b"")
    chronicle, answered = Chronicle(SqlFleetStore(database)), []

    def tell(bot_id: str, message: ToWorker) -> bool:
        answered.append((bot_id, message))
        return True

    spool = Spool(tmp_path / "spool", 1_000_000)
    assert spool.add([(HONEST.bot.id, a_log(1))])
    logs = CommandLogs(SqlCommandLogs(database), spool, tell, chronicle.not_stored)
    logs.take(LIAR, 1, CommandsRan(7, (a_log(2), a_log(TOO_LARGE), a_log(3))))
    logs.take(HONEST, 1, CommandsRan(8, tuple(a_log(number) for number in range(4, 54))))
    await logs.writer.flush()
    await chronicle.writer.flush()
    assert answered == [(LIAR.bot.id, CommandsStored(7)), (HONEST.bot.id, CommandsStored(8))]
    assert spool.is_empty()
    stored = {found[0] for found in await rows_of(database, sa.select(command_logs.c.interaction_id))}
    assert stored == set(range(1, 54))
    told = await rows_of(database, sa.select(happenings.c.bot_id, happenings.c.code, happenings.c.detail))
    assert [(bot_id, code, detail["what"]) for bot_id, code, detail in told] == [
        (LIAR.bot.id, "not_stored", "command logs")
    ]


async def test_a_status_that_cannot_be_stored_is_stored_without_its_figures(database: Database) -> None:
    for member in (LIAR, HONEST):
        await SqlBots(database).add(member.bot, b"")
    store = SqlFleetStore(database)
    chronicle = Chronicle(store)
    journal = Journal(store, chronicle.not_stored)
    bad = BotStatus(LIAR.bot.id, State.RUNNING, generation=3, pid=42, memory_bytes=2**70)
    journal.put(bad)
    journal.put(BotStatus(HONEST.bot.id, State.RUNNING, generation=1, pid=43, memory_bytes=1))
    await journal.writer.flush()
    await journal.stored()
    found = await rows_of(database, sa.select(bot_status.c.bot_id, bot_status.c.pid, bot_status.c.memory_bytes))
    assert set(found) == {(LIAR.bot.id, 42, None), (HONEST.bot.id, 43, 1)}
