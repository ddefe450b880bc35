"""What happened is told once, kept while the database is away, and never without bound."""

import pytest

from flotilla.errors import RetryError
from supervisor import chronicle as module
from supervisor.chronicle import Chronicle
from tests.builders import a_bot
from tests.fakes.fleet import MemoryFleetStore


@pytest.fixture
def store() -> MemoryFleetStore:
    return MemoryFleetStore()


async def test_repetitions_are_counted_and_told_with_the_next(
    store: MemoryFleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    assert chronicle.note("deaf", bot.id, bot.name, quiet_s=31.0)
    assert not chronicle.note("deaf", bot.id, bot.name)
    assert chronicle.note("hearing", bot.id, bot.name)
    assert chronicle.note("deaf")
    monkeypatch.setattr(module, "REPEAT_S", 0.0)
    assert chronicle.note("deaf", bot.id, bot.name)
    await chronicle.flush()
    told = [(row.code, row.detail) for row in store.happenings[bot.id]]
    assert told == [("deaf", {"quiet_s": 31.0}), ("hearing", {}), ("deaf", {"repeated": 1})]
    assert [row.code for row in store.happenings[None]] == ["deaf"]


async def test_what_happened_while_the_database_was_away_is_stored_later(store: MemoryFleetStore) -> None:
    chronicle = Chronicle(store)
    store.away = True
    chronicle.note("invalid_requests")
    with pytest.raises(RetryError):
        await chronicle.flush()
    store.away = False
    await chronicle.flush()
    assert [row.code for row in store.happenings[None]] == ["invalid_requests"]


async def test_what_is_kept_for_an_absent_database_is_bounded(
    store: MemoryFleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100)
    chronicle, bots = Chronicle(store), [a_bot(number) for number in range(300)]
    for bot in bots:
        store.put(bot)
        chronicle.note("deaf", bot.id)
    await chronicle.flush()
    assert bots[-1].id in store.happenings
    assert bots[0].id not in store.happenings
    assert len(store.happenings) <= 100


async def test_a_removed_bot_is_forgotten(store: MemoryFleetStore) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    chronicle.note("deaf", bot.id)
    chronicle.forget(bot.id)
    await chronicle.flush()
    assert store.happenings == {}
    assert chronicle.note("deaf", bot.id)


async def test_what_is_distinct_is_no_repetition(store: MemoryFleetStore) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    assert chronicle.note("deaf", bot.id, distinct="resume", rung="resume")
    assert chronicle.note("deaf", bot.id, distinct="identify", rung="identify")
    assert not chronicle.note("deaf", bot.id, distinct="resume", rung="resume")
    await chronicle.flush()
    assert [row.detail for row in store.happenings[bot.id]] == [{"rung": "resume"}, {"rung": "identify"}]
