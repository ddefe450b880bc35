"""What Discord did to a bot is answered when it is stored, and not before."""

import asyncio
from datetime import UTC, datetime

import pytest
from ulid import ULID

from flotilla.domain.happenings import Occurrence
from flotilla.protocol import Happened, HappenedStored, ToWorker
from supervisor import occurrences as module
from supervisor.member import Member
from supervisor.occurrences import Occurrences
from tests.builders import T0, a_bot, none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.stack import until

MEMBER = Member(a_bot(1))


def a_batch(number: int, *codes: str, at: float = T0.timestamp()) -> Happened:
    return Happened(number, tuple(Occurrence(str(ULID()), at, code, {"guild": "g"}) for code in codes))


class Case:
    def __init__(self) -> None:
        self.store = MemoryFleetStore()
        self.store.put(MEMBER.bot)
        self.answered: list[ToWorker] = []
        self.occurrences = self.made()

    def made(self) -> Occurrences:
        return Occurrences(self.store, self.tell, none_refused)

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        assert bot_id == MEMBER.bot.id
        self.answered.append(message)
        return True

    def codes(self) -> list[str]:
        return [row.code for row in self.store.happenings.get(MEMBER.bot.id, [])]


@pytest.fixture
def case() -> Case:
    return Case()


async def test_a_batch_is_stored_once_and_answered_each_time(case: Case) -> None:
    batch = a_batch(7, "guild_joined", "guild_left")
    for _ in range(2):
        case.occurrences.take(MEMBER, 1, batch)
        await case.occurrences.writer.storing.attempt()
    assert case.codes() == ["guild_joined", "guild_left"]
    assert case.answered == [HappenedStored(7)] * 2
    [first, _] = case.store.happenings[MEMBER.bot.id]
    assert (first.at, first.detail) == (T0, {"guild": "g"})


async def test_while_the_database_is_away_nobody_is_answered(case: Case) -> None:
    case.store.away = True
    batch = a_batch(7, "guild_joined")
    for _ in range(2):
        case.occurrences.take(MEMBER, 1, batch)
        await case.occurrences.writer.storing.attempt()
    assert case.answered == []
    case.store.away = False
    case.occurrences.take(MEMBER, 1, batch)
    await case.occurrences.writer.storing.attempt()
    assert (case.codes(), case.answered) == (["guild_joined"], [HappenedStored(7)])


async def test_a_database_that_hangs_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_TIMEOUT_S", 0.01)
    case = Case()
    monkeypatch.setattr(case.store, "record_happenings", lambda _: asyncio.get_running_loop().create_future())
    case.occurrences = case.made()
    case.occurrences.take(MEMBER, 1, a_batch(7, "guild_joined"))
    await case.occurrences.writer.storing.attempt()
    assert case.answered == []


async def test_a_worker_tells_nothing_but_what_discord_does_and_no_time_to_come(case: Case) -> None:
    rows = (*a_batch(7, "fatal", "nonsense").rows, *a_batch(7, "guild_left", at=9e10).rows)
    case.occurrences.take(MEMBER, 1, Happened(7, rows, lost=3))
    await case.occurrences.writer.storing.attempt()
    assert case.codes() == ["guild_left"]
    [row] = case.store.happenings[MEMBER.bot.id]
    assert (row.at - datetime.now(UTC)).total_seconds() <= 60
    assert case.answered == [HappenedStored(7)]


async def test_batches_are_stored_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.001)
    case = Case()
    running = asyncio.create_task(case.occurrences.writer.run())
    for number in range(3):
        case.occurrences.take(MEMBER, 1, a_batch(number, "session_resumed"))
        await until(lambda number=number: HappenedStored(number) in case.answered, "it is answered")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert case.codes() == ["session_resumed"] * 3
