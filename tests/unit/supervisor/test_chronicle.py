"""What happened is told once, kept while the database is away, and never without bound."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from flotilla.domain.happenings import Happening
from flotilla.domain.shares import NOTES, Shares
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
    await chronicle.writer.flush()
    told = [(row.code, row.detail) for row in store.happenings[bot.id]]
    assert told == [("deaf", {"quiet_s": 31.0}), ("hearing", {}), ("deaf", {"repeated": 1})]
    assert [row.code for row in store.happenings[None]] == ["deaf"]


async def test_what_happened_while_the_database_was_away_is_stored_later(store: MemoryFleetStore) -> None:
    chronicle = Chronicle(store)
    store.away = True
    chronicle.note("invalid_requests")
    with pytest.raises(RetryError):
        await chronicle.writer.flush()
    store.away = False
    await chronicle.writer.flush()
    assert [row.code for row in store.happenings[None]] == ["invalid_requests"]


async def test_what_is_kept_for_an_absent_database_is_bounded(
    store: MemoryFleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100)
    chronicle, bots = Chronicle(store), [a_bot(number) for number in range(300)]
    for bot in bots:
        store.put(bot)
        chronicle.note("deaf", bot.id)
    await chronicle.writer.flush()
    assert bots[-1].id in store.happenings
    assert bots[0].id not in store.happenings
    assert len(store.happenings) <= 100


async def test_a_removed_bot_is_forgotten(store: MemoryFleetStore) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    chronicle.note("deaf", bot.id)
    chronicle.forget(bot.id)
    await chronicle.writer.flush()
    assert store.happenings == {}
    assert chronicle.note("deaf", bot.id)


async def test_what_is_distinct_is_no_repetition(store: MemoryFleetStore) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    assert chronicle.note("deaf", bot.id, distinct="resume", rung="resume")
    assert chronicle.note("deaf", bot.id, distinct="identify", rung="identify")
    assert not chronicle.note("deaf", bot.id, distinct="resume", rung="resume")
    await chronicle.writer.flush()
    assert [row.detail for row in store.happenings[bot.id]] == [{"rung": "resume"}, {"rung": "identify"}]


async def test_rows_that_were_refused_are_counted_and_told_once_of_each_bot(store: MemoryFleetStore) -> None:
    bot, chronicle = a_bot(1), Chronicle(store)
    store.put(bot)
    with capture_logs() as logs:
        for _ in range(3):
            chronicle.not_stored(bot.id, "exits", 2, ValueError("nul \0 in it"))
        chronicle.not_stored(None, "roll-over", 1, ValueError("too long"))
    await chronicle.writer.flush()
    [told] = store.happenings[bot.id]
    assert (told.code, told.detail) == (
        "not_stored",
        {"what": "exits", "rows": 2, "error": "ValueError: nul \ufffd in it"},
    )
    assert [row.detail["what"] for row in store.happenings[None]] == ["roll-over"]
    said = [(row["log_level"], row["refused"]) for row in logs if row["event"] == "rows.set_aside"]
    assert said == [("error", 2), ("debug", 4), ("debug", 6), ("error", 7)]


async def test_a_happening_that_no_database_takes_is_stored_without_its_detail_and_told_of(
    store: MemoryFleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = a_bot(1)
    store.put(bot)
    record = store.record_happenings

    async def picky(events: Sequence[Happening]) -> None:
        if any("bad" in event.detail for event in events):
            raise ValueError("it cannot be stored")
        await record(events)

    monkeypatch.setattr(store, "record_happenings", picky)
    chronicle = Chronicle(store)
    chronicle.note("deaf", bot.id, bot.name, bad="\0")
    chronicle.note("hearing", bot.id, bot.name, quiet_s=1.0)
    for _ in range(2):
        await chronicle.writer.flush()
    found = {row.code: row.detail for row in store.happenings[bot.id]}
    assert found == {
        "deaf": {},
        "hearing": {"quiet_s": 1.0},
        "not_stored": {"what": "happenings", "rows": 1, "error": "ValueError: it cannot be stored"},
    }
    assert list(chronicle.writer.waiting()) == []


async def test_bot_has_its_share_and_neither_the_host_nor_what_is_critical_is_left_out(store: MemoryFleetStore) -> None:
    bot, shares = a_bot(1), Shares()
    chronicle = Chronicle(store, shares)
    store.put(bot)
    told = [chronicle.note("commands_refused", bot.id, bot.name, distinct=str(number)) for number in range(1000)]
    assert sum(told) == NOTES.at_once
    assert chronicle.note("fatal", bot.id, bot.name)
    assert chronicle.note("deaf")
    assert chronicle.note("and_more", bot.id, bot.name, more=shares.left_out(bot.id))
    assert not chronicle.note("deaf", bot.id, bot.name)
    await chronicle.writer.flush()
    assert store.happenings[bot.id][-1].detail == {"more": {"happenings": 1000 - NOTES.at_once}}


async def test_what_was_told_is_not_remembered_without_bound(
    store: MemoryFleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOLD", 100)
    monkeypatch.setattr(module, "REPEAT_S", -1.0)
    chronicle = Chronicle(store)
    for number in range(1000):
        chronicle.note("commands_refused", str(number), "bot")
    assert len(chronicle._told) <= 100
