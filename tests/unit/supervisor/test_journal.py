import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flotilla.domain.bot_secrets import Encrypted
from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.happenings import Happening
from flotilla.domain.vitals import NO_VITALS, HostVitals, Vitals
from flotilla.domain.worker import State
from flotilla.errors import RetryError
from flotilla.ports import FleetRow
from supervisor import journal as module
from supervisor import storing
from supervisor.journal import Journal
from tests.builders import none_refused


class Store:
    """A store that can be away, and remembers each transaction."""

    def __init__(self) -> None:
        self.transactions: list[tuple[list[BotStatus], list[Transition]]] = []
        self.away_for = 0
        self.unstorable: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        await self.gate.wait()
        if self.away_for:
            self.away_for -= 1
            raise RetryError("away")
        if self.unstorable is not None and any(status.reason == self.unstorable for status in statuses):
            raise ValueError("it cannot be stored")
        self.transactions.append((list(statuses), list(transitions)))

    async def fleet(self) -> list[FleetRow]:
        return []

    async def wanted(self) -> list[FleetRow]:
        return []

    async def credentials(self, bot_ids: Iterable[str]) -> dict[str, Encrypted]:
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
    journal = Journal(store, none_refused)
    running = asyncio.create_task(journal.writer.run())
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
    monkeypatch.setattr(storing, "RETRY_CAP_S", 0.001)
    store.away_for = 3
    journal.put(BotStatus("1"), transition("1"))
    await journal.stored()
    assert store.transactions[0] == ([BotStatus("1")], store.transactions[0][1])


async def test_a_database_may_be_away_for_hours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "RETRY_CAP_S", 0.0)
    store.away_for = 1100  # 2**1024 is beyond a float
    journal = Journal(store, none_refused)
    journal.put(BotStatus("1"), transition("1"))
    running = asyncio.create_task(journal.writer.run())
    await journal.stored()
    running.cancel()
    assert [len(rows) for rows in store.transactions[0]] == [1, 1]


async def test_what_is_kept_for_an_absent_database_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRANSITIONS", 100)
    journal = Journal(store, none_refused)
    for _ in range(1000):
        journal.put(BotStatus("1"), transition("1"))
    await journal.writer.flush()
    assert len(store.transactions[0][1]) <= 100


async def test_a_removed_bot_is_not_written_again(store: Store) -> None:
    journal = Journal(store, none_refused)
    journal.put(BotStatus("1"), transition("1"))
    journal.forget("1")
    await journal.writer.flush()
    assert store.transactions == []


async def test_of_a_status_that_no_database_takes_the_process_is_stored(store: Store) -> None:
    """Its worker gets its token once the next supervisor can find it; figures must not stand in the way."""
    refused: list[tuple[str | None, str, int]] = []
    store.unstorable = "nul \0"
    journal = Journal(store, lambda bot_id, what, rows, _error: refused.append((bot_id, what, rows)))
    bad = BotStatus("1", State.RUNNING, reason="nul \0", generation=3, pid=42, vitals=Vitals(delivery="ok"))
    journal.put(bad, transition("1"))
    journal.put(BotStatus("2"), transition("2"))
    await journal.writer.flush()
    await journal.stored()
    stored = {status.bot_id: status for statuses, _ in store.transactions for status in statuses}
    assert stored == {"1": replace(bad, reason=None, vitals=NO_VITALS), "2": BotStatus("2")}
    assert sorted(row.bot_id for _, rows in store.transactions for row in rows) == ["1", "2"]
    assert refused == [("1", "status", 1)]
