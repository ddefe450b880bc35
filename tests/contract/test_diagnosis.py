"""What is kept of bots for people, on SQLite and PostgreSQL."""

from datetime import timedelta

import pytest
from ulid import ULID

from flotilla.db.bots import SqlBots
from flotilla.db.diagnosis import LAST_EXITS, Record, SqlDiagnosis
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import bot_heaps
from flotilla.domain.bots import Bot, BotStatus, Transition
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.heap import Heap
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, FixInputError, NotFoundError
from tests.builders import A_REPORT, T0, a_bot


@pytest.fixture
def diagnosis(database: Database) -> SqlDiagnosis:
    return SqlDiagnosis(database)


@pytest.fixture
def store(database: Database) -> SqlFleetStore:
    return SqlFleetStore(database)


@pytest.fixture
async def bot(database: Database) -> Bot:
    found = a_bot(1)
    await SqlBots(database).add(found, b"")
    return found


def exits_of(bot: Bot, count: int) -> list[Exit]:
    moments = [T0 + timedelta(minutes=number) for number in range(count)]
    return [
        Exit(str(ULID.from_datetime(at)), bot.id, at, number, None if number % 2 else 1, "crashed", "a\nb")
        for number, at in enumerate(moments, 1)
    ]


async def test_exits_are_paged_newest_first(diagnosis: SqlDiagnosis, store: SqlFleetStore, bot: Bot) -> None:
    rows = exits_of(bot, 5)
    await store.record_exits(rows)
    seen: list[Exit] = []
    cursor: str | None = None
    while True:
        page = await diagnosis.exits(bot.id, 2, cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == rows[::-1]
    with pytest.raises(FixInputError):
        await diagnosis.exits(bot.id, 2, ">i:5")


async def test_record_counts_starts_and_has_the_last_exits(
    diagnosis: SqlDiagnosis, store: SqlFleetStore, bot: Bot
) -> None:
    assert await diagnosis.record(bot.id, T0) == Record(0, 0, None, ())
    changes = [
        Transition(bot.id, T0 + timedelta(hours=hour), state, ready=False, generation=hour, reason=None)
        for hour in range(1, 5)
        for state in (State.STARTING, State.RUNNING)
    ]
    await store.save([BotStatus(bot.id, State.RUNNING, failures=2, heartbeat_at=T0)], changes)
    rows = exits_of(bot, 4)
    await store.record_exits(rows)
    record = await diagnosis.record(bot.id, T0 + timedelta(hours=2))
    assert record == Record(3, 2, T0, tuple(rows[::-1][:LAST_EXITS]))


async def test_stacks_are_asked_for_and_answered(diagnosis: SqlDiagnosis, store: SqlFleetStore, bot: Bot) -> None:
    with pytest.raises(ConflictError) as raised:
        await diagnosis.ask_stacks(bot.id)
    assert raised.value.code == "bot_not_running"
    await store.save([BotStatus(bot.id, State.RUNNING, pid=42)], [])
    assert await diagnosis.stacks(bot.id) is None
    assert [await diagnosis.ask_stacks(bot.id) for _ in range(2)] == [1, 2]
    (row,) = await store.fleet()
    assert (row.bot.stacks_epoch, row.stacks_answered) == (2, 0)
    answer = Stacks(bot.id, 2, T0, 1, "in main\n", None)
    await store.record_stacks(answer)
    assert await diagnosis.stacks(bot.id) == answer


async def test_heap_is_asked_for_and_answered(
    diagnosis: SqlDiagnosis, store: SqlFleetStore, bot: Bot, database: Database
) -> None:
    with pytest.raises(ConflictError) as raised:
        await diagnosis.ask_heap(bot.id)
    assert raised.value.code == "bot_not_running"
    await store.save([BotStatus(bot.id, State.RUNNING, pid=42)], [])
    assert await diagnosis.heap(bot.id) is None
    assert [await diagnosis.ask_heap(bot.id, trace_s) for trace_s in (5.0, 0.0)] == [1, 2]
    (row,) = await store.fleet()
    assert (row.bot.heap_epoch, row.bot.heap_trace_s, row.heap_answered) == (2, 0.0, 0)
    answer = Heap(bot.id, 2, T0, 1, A_REPORT)
    await store.record_heap(answer)
    assert await diagnosis.heap(bot.id) == answer
    await store.record_heap(Heap(bot.id, 3, T0, 1, None, "no process"))
    assert await diagnosis.heap(bot.id) == Heap(bot.id, 3, T0, 1, None, "no process")
    async with database.write() as connection:
        await connection.execute(bot_heaps.update().values(report={"of": "another release"}))
    found = await diagnosis.heap(bot.id)
    assert found is not None
    assert found.report is None


async def test_unknown_bot_is_not_found(diagnosis: SqlDiagnosis) -> None:
    calls = (
        diagnosis.exits("x", 5, None),
        diagnosis.record("x", T0),
        diagnosis.ask_stacks("x"),
        diagnosis.stacks("x"),
        diagnosis.ask_heap("x"),
        diagnosis.heap("x"),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as raised:
            await call
        assert raised.value.code == "bot_unknown"
