import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime

import pytest

from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.happenings import Happening
from flotilla.domain.vitals import HostVitals
from flotilla.domain.worker import State
from flotilla.errors import RetryError
from flotilla.ports import FleetRow
from supervisor import journal as module
from supervisor.journal import Journal


class Store:
    """A store that can be away, and remembers each transaction."""

    def __init__(self) -> None:
        self.transactions: list[tuple[list[BotStatus], list[Transition]]] = []
        self.away_for = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        await self.gate.wait()
        if self.away_for:
            self.away_for -= 1
            raise RetryError("away")
        self.transactions.append((list(statuses), list(transitions)))

    async def fleet(self) -> list[FleetRow]:
        return []

    async def wanted(self) -> list[FleetRow]:
        return []

    async def encrypted_tokens(self, bot_ids: Iterable[str]) -> dict[str, bytes]:
        raise NotImplementedError

    async def record_exits(self, exits: Sequence[Exit]) -> None:
        raise NotImplementedError

    async def record_heap(self, heap: object) -> None:
        raise NotImplementedError

    async def record_stacks(self, stacks: Stacks) -> None:
        raise NotImplementedError

    async def record_happenings(self, events: Sequence[Happening]) -> None:
        raise NotImplementedError

    async def drop(self, bot_ids: Iterable[str]) -> None:
        raise NotImplementedError

    async def seen(
        self, slot: int, pid: int, started_at: datetime, now: datetime, vitals: HostVitals | None = None
    ) -> None:
        raise NotImplementedError

    async def last_seen(self, slot: int) -> datetime | None:
        raise NotImplementedError


def transition(bot_id: str) -> Transition:
    return Transition(bot_id, datetime.now(UTC), State.RUNNING, ready=True, generation=1, reason=None)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def journal(store: Store) -> AsyncIterator[Journal]:
    journal = Journal(store)
    running = asyncio.create_task(journal.run())
    yield journal
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_stored_returns_when_the_database_has_it(journal: Journal, store: Store) -> None:
    journal.put(BotStatus("1"), transition("1"))
    await journal.stored()
    assert store.transactions[0][0] == [BotStatus("1")]


async def test_changes_during_a_transaction_go_into_one_next_transaction(journal: Journal, store: Store) -> None:
    store.gate.clear()
    journal.put(BotStatus("0"))
    await asyncio.sleep(0)
    for number in range(50):
        journal.put(BotStatus("1", generation=number), transition("1"))
    store.gate.set()
    await journal.stored()
    assert len(store.transactions) <= 2
    statuses, transitions = store.transactions[-1]
    assert BotStatus("1", generation=49) in statuses
    assert len(transitions) == 50


async def test_a_database_that_is_away_loses_nothing(
    journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_CAP_S", 0.001)
    store.away_for = 3
    journal.put(BotStatus("1"), transition("1"))
    await journal.stored()
    assert store.transactions[0] == ([BotStatus("1")], store.transactions[0][1])


async def test_a_database_may_be_away_for_hours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_CAP_S", 0.0)
    store.away_for = 1100  # 2**1024 is beyond a float
    journal = Journal(store)
    journal.put(BotStatus("1"), transition("1"))
    assert await journal.flush() == 2
    assert len(store.transactions) == 1


async def test_what_is_kept_for_an_absent_database_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRANSITIONS", 100)
    journal = Journal(store)
    for _ in range(1000):
        journal.put(BotStatus("1"), transition("1"))
    await journal.flush()
    assert len(store.transactions[0][1]) <= 100


async def test_a_removed_bot_is_not_written_again(store: Store) -> None:
    journal = Journal(store)
    journal.put(BotStatus("1"), transition("1"))
    journal.forget("1")
    await journal.flush()
    assert store.transactions == []
