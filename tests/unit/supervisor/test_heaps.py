import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec import structs

from flotilla.domain.heap import Allocation, HeapReport, HeapType
from flotilla.ports import FleetRow
from flotilla.protocol import Heap, TakeHeap, encode, from_worker
from supervisor import heaps as module
from supervisor.heaps import Heaps
from supervisor.member import Member
from tests.builders import none_refused
from tests.stack import until
from tests.unit.supervisor.test_memory_watch import Watched

REPORT = HeapReport(20, 10, 5, 3, 1, (HeapType("bytes", 1, 5),), {"guilds": 2}, 1.0, 0.5)


class Asked(Watched):
    """Workers that answer as they are told: at once, never, or after they were connected."""

    def __init__(self) -> None:
        super().__init__()
        self.heaps = Heaps(self.store, none_refused)
        self.heaps.tell = self.tell
        self.told: list[TakeHeap] = []
        self.connected = self.answers = True

    def tell(self, bot_id: str, message: Any) -> bool:
        if self.connected:
            self.told.append(message)
            if self.answers:
                member = self.member(int(bot_id))
                self.heaps.take(member, member.worker.generation, Heap(message.number, REPORT))
        return self.connected

    def ask(self, epoch: int, trace_s: float = 0.0) -> None:
        member = self.member(0)
        asked = replace(member.bot, heap_epoch=epoch, heap_trace_s=trace_s)
        self.heaps.answer_requests(self.fleet, [FleetRow(asked, member.status())])

    async def answered(self, epoch: int) -> Any:
        def check() -> Any:
            found = self.store.heaps.get("0")
            return found if found and found.epoch == epoch else None

        return await until(check, "it is stored", 5)


@pytest.fixture
async def host() -> Any:
    made = Asked()
    running = asyncio.create_task(made.heaps.writer.run())
    yield made
    running.cancel()
    made.end()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ANSWER_S", 0.2), ("BRIEF_S", 0.05), ("POLL_S", 0.01)):
        monkeypatch.setattr(module, name, value)


async def test_request_is_answered_once_and_stored(host: Asked) -> None:
    host.ready()
    host.ask(1, trace_s=2)
    host.ask(1)
    heap = await host.answered(1)
    assert (heap.report, heap.fault, heap.generation) == (REPORT, None, 1)
    await asyncio.sleep(0)
    host.ask(1)
    await asyncio.sleep(0)
    assert [message.trace_s for message in host.told] == [2]
    host.ask(2)
    await host.answered(2)
    assert [message.number for message in host.told] == [1, 2]


async def test_worker_that_is_not_connected_yet_is_asked_when_it_is(host: Asked) -> None:
    host.ready()
    host.connected = False
    host.ask(1)
    await asyncio.sleep(0.03)
    host.connected = True
    assert (await host.answered(1)).report == REPORT


async def test_worker_that_does_not_answer_is_said_so(host: Asked) -> None:
    host.ready()
    host.answers = False
    host.ask(1)
    heap = await host.answered(1)
    assert heap.report is None
    assert "flotilla bots stacks" in heap.fault
    assert await host.heaps.brief(host.member(0)) == {}
    assert host.told[-1].brief


async def test_worker_that_ends_meanwhile_is_said_so(host: Asked) -> None:
    host.ready()
    host.answers = False
    host.ask(1)
    await asyncio.sleep(0.02)
    host.fleet.exited("0", 1, -9)
    assert "ended before" in (await host.answered(1)).fault


async def test_bot_without_a_process_is_said_so(host: Asked) -> None:
    host.ready()
    host.fleet.exited("0", 1, -9)
    host.ask(1)
    assert "no process" in (await host.answered(1)).fault


async def test_answer_is_kept_while_the_database_is_away(host: Asked) -> None:
    host.ready()
    host.store.away = True
    host.ask(1)
    await until(lambda: host.heaps.writer.is_away, "it was tried", 5)
    host.store.away = False
    assert (await host.answered(1)).report == REPORT


async def test_answers_nobody_waits_for_and_those_of_other_generations_change_nothing(host: Asked) -> None:
    host.ready()
    member: Member = host.member(0)
    host.heaps.take(member, 1, Heap(99, REPORT))
    host.answers = False
    waiting = asyncio.create_task(host.heaps.brief(member))
    await asyncio.sleep(0.01)
    host.heaps.take(member, 7, Heap(host.told[-1].number, REPORT))
    assert await waiting == {}
    host.heaps.forget("0")


async def test_brief_says_types_and_caches(host: Asked) -> None:
    host.ready()
    assert await host.heaps.brief(host.member(0)) == {
        "uss_bytes": 10,
        "counted_bytes": 5,
        "types": [["bytes", 1, 5]],
        "caches": {"guilds": 2},
    }


async def test_report_of_a_hostile_worker_is_cut(host: Asked) -> None:
    host.ready()
    host.answers = False
    host.ask(1)
    await until(lambda: host.told, "it was asked", 5)
    huge = structs.replace(
        REPORT,
        types=(HeapType("x" * 10_000, 1, 1),) * 1000,
        caches={f"{'y' * 500}{number}": number for number in range(1000)},
        allocations=(Allocation("z" * 10_000, 1, 1),) * 1000,
    )
    host.heaps.take(host.member(0), 1, Heap(host.told[-1].number, huge))
    heap = await host.answered(1)
    assert len(msgspec.json.encode(heap.report)) < 16_000


@pytest.mark.parametrize("wrong", [-1, 2**60])
def test_counts_that_cannot_be_are_refused(wrong: int) -> None:
    frame = encode(Heap(1, structs.replace(REPORT, objects=wrong)))
    with pytest.raises(msgspec.ValidationError):
        from_worker.decode(frame[4:])


@pytest.mark.parametrize("wrong", [float("inf"), float("nan"), -1.0])
def test_amounts_that_cannot_be_are_refused(wrong: float) -> None:
    frame = encode(Heap(1, structs.replace(REPORT, took_ms=wrong)))
    with pytest.raises(msgspec.ValidationError):
        from_worker.decode(frame[4:])
