"""What a process' memory is made of. This process' own, so figures are bounds."""

import asyncio
import gc
import sys
import threading
import tracemalloc
from typing import Any, ClassVar

import msgspec
import pytest

from flotilla.domain.heap import HeapReport
from tests.builders import token_of
from worker_bot import heap
from worker_bot.heap import look


class Widget:
    """Something to find."""

    def __init__(self, contents: object) -> None:
        self.contents = contents


def _refuse(_self: object) -> int:
    raise RuntimeError("do not look at me")


Hostile = type("Hostile", (), {"__class__": property(_refuse), "__sizeof__": _refuse, "__len__": _refuse})
"""Of a bot, and resists being looked at."""


class HostileList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("do not iterate")

    def __len__(self) -> int:
        return 10**9


@pytest.fixture(autouse=True)
def own_objects() -> Any:
    """Only what a test makes is looked at, as in a worker that was just forked."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def row(report: HeapReport, name: str) -> Any:
    return next((found for found in report.types if found.name == name), None)


async def test_types_are_counted_with_what_they_hold() -> None:
    kept = [Widget(bytearray(10_000)) for _ in range(300)]
    report = await look()
    assert row(report, f"{__name__}.Widget").count == 300
    assert row(report, "bytearray").count == pytest.approx(300, abs=5)
    assert row(report, "bytearray").bytes == pytest.approx(3_000_000, rel=0.05)
    assert report.types[0].name == "bytearray"
    assert report.counted_bytes >= 3_000_000
    assert 0 < report.uss_bytes <= report.rss_bytes
    assert len(kept) == 300


async def test_what_is_held_in_many_places_is_counted_once() -> None:
    big = bytes(5_000_000)
    kept = [Widget(big) for _ in range(200)]
    assert row(await look(), "bytes").bytes == pytest.approx(5_000_000, rel=0.1)
    assert kept


async def test_large_containers_are_judged_by_their_first_members() -> None:
    kept: dict[int, object] = {number: (bytes(1000), []) for number in range(50_000)}
    listed = [bytes(100) for _ in range(20_000)]
    report = await look()
    assert row(report, "bytes").bytes == pytest.approx(50_000 * 1033 + 20_000 * 133, rel=0.1)
    assert report.took_ms < 60_000
    assert kept
    assert listed


PLAIN: dict[int, bytes] = {}


class Keeper:
    plain: ClassVar[dict[int, bytes]] = {}


async def test_plain_dicts_of_the_bots_own_modules_and_classes_are_found() -> None:
    PLAIN.update({number: bytes(1000) for number in range(5000)})
    Keeper.plain.update({number: bytes(1000) for number in range(5000)})
    try:
        assert row(await look(packages=[f"{__name__}.more"]), "bytes").bytes == pytest.approx(10_330_000, rel=0.1)
        assert row(await look(), "bytes") is None or row(await look(), "bytes").bytes < 1_000_000
    finally:
        PLAIN.clear()
        Keeper.plain.clear()


async def test_dicts_that_the_collector_does_not_track_are_looked_into() -> None:
    kept = [{"a": {"b": bytes(20_000 + number)}} for number in range(100)]
    assert row(await look(), "bytes").bytes == pytest.approx(2_005_000, rel=0.1)
    assert kept


async def test_many_objects_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "MAX_LOOKED_AT_BRIEF", 1000)
    kept = [Widget(None) for _ in range(20_000)]
    report = await look(brief=True)
    assert report.one_in >= 20
    assert row(report, f"{__name__}.Widget").count == pytest.approx(20_000, rel=0.15)
    assert kept


async def test_other_tasks_go_on_meanwhile() -> None:
    kept = [Widget([number]) for number in range(60_000)]
    turns, looking = 0, asyncio.create_task(look())
    while not looking.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    assert (await looking).longest_pause_ms < 200
    assert kept


async def test_hostile_objects_are_passed_over() -> None:
    kept = [Hostile(), HostileList([1])]
    report = await look()
    assert report.objects > 0
    assert kept


async def test_containers_that_another_thread_changes_do_no_harm() -> None:
    shared: dict[int, object] = {number: Widget(number) for number in range(3000)}
    stop = threading.Event()

    def change() -> None:
        number = 3000
        while not stop.is_set():
            shared[number] = Widget(number)
            del shared[number]
            number += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(5):
            assert (await look(brief=True)).objects > 0
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


async def test_no_value_is_told_and_no_token_in_a_name() -> None:
    token = token_of(5)
    named = type(f"Bot {token}", (), {})
    kept = [named(), token * 1000, {token: token}, [named() for _ in range(5000)]]
    text = msgspec.json.encode(await look()).decode()
    assert "[redacted]" in text
    assert token not in text
    assert kept


async def test_trace_names_the_lines_that_allocate_and_ends() -> None:
    kept: list[bytes] = []

    async def leak() -> None:
        while True:
            kept.append(bytes(50_000))
            await asyncio.sleep(0.002)

    leaking = asyncio.create_task(leak())
    report = await look(trace_s=0.2)
    leaking.cancel()
    assert report.allocations is not None
    assert report.traced_s == 0.2
    largest = report.allocations[0]
    line = leak.__code__.co_firstlineno + 2
    assert largest.where.endswith(f"test_heap.py:{line}")
    assert largest.bytes >= 50_000
    assert not tracemalloc.is_tracing()


async def test_trace_of_a_bot_that_traces_itself_is_left_running() -> None:
    tracemalloc.start()
    try:
        before = [bytes(1_000_000)]
        tracing = asyncio.create_task(look(trace_s=0.1))
        await asyncio.sleep(0.02)
        kept = [bytes(3_000_000)]
        report = await tracing
        assert report.allocations is not None
        assert 3_000_000 <= report.allocations[0].bytes < 4_000_000, "what was there before does not count"
        assert tracemalloc.is_tracing()
        assert before
        assert kept
    finally:
        tracemalloc.stop()


class Cache:
    """As hikari's, with what may go wrong."""

    def get_guilds_view(self) -> dict[int, str]:
        return {1: "a", 2: "b"}

    def get_members_view(self) -> dict[int, dict[int, str]]:
        return {1: {1: "x", 2: "y"}, 2: {3: "z"}}

    def get_roles_view(self) -> dict[int, str]:
        return {}

    def get_users_view(self) -> dict[int, str]:
        raise RuntimeError


async def test_sizes_of_caches_are_told_and_a_broken_cache_is_passed_over() -> None:
    assert (await look(Cache())).caches == {"guilds": 2, "members": 3}
    assert (await look(object())).caches == {}
