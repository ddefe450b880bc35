"""Live metrics on a real Valkey, and the fake that other tests use."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ulid import ULID

from flotilla.domain.metrics import BOUNDS_MS, NOTHING, BotMetrics, Counts, FleetMetrics, Histogram
from flotilla.live_metrics import FLEET, KEPT_S, KEY, ValkeyMetrics, ValkeyMetricsReader
from flotilla.ports import LiveMetrics
from flotilla.valkey import AWAY
from tests.fakes.metrics import MemoryMetrics
from tests.services import Valkey

COUNTS = Counts(
    {"command answered": 3}, {"READY": 1}, {"2xx": 2}, {}, {}, Histogram((1,) * (len(BOUNDS_MS) + 1), 2**53)
)
ROW = BotMetrics(2, 1_790_000_000.5, COUNTS, COUNTS, 1_790_000_000.0, NOTHING, {"guilds": 7})
TOTAL = FleetMetrics(1_790_000_000.5, COUNTS, {"guilds": 7}, {"a": 7})


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[ValkeyMetrics]:
    with valkey.client() as client:
        client.flushall()
    store = ValkeyMetrics(valkey.url, 0)
    yield store
    await store.close()


@pytest.fixture
async def reader(valkey: Valkey) -> AsyncIterator[ValkeyMetricsReader]:
    reader = ValkeyMetricsReader(valkey.url)
    yield reader
    await reader.close()


async def test_what_is_saved_is_loaded_and_what_is_gone_is_not(store: ValkeyMetrics) -> None:
    stores: list[LiveMetrics] = [store, MemoryMetrics()]
    for each in stores:
        assert await each.load() == (None, {})
        await each.save(TOTAL, {"a": ROW, "b": ROW}, [])
        await each.save(TOTAL, {}, ["b", "never there"])
        assert await each.load() == (TOTAL, {"a": ROW})


async def test_readers_find_what_any_slot_has(
    valkey: Valkey, store: ValkeyMetrics, reader: ValkeyMetricsReader
) -> None:
    other = ValkeyMetrics(valkey.url, 1)
    await store.save(TOTAL, {"a": ROW}, [])
    newer = BotMetrics(3, ROW.at + 1, COUNTS, COUNTS, ROW.mark_at, NOTHING)
    await other.save(TOTAL, {"a": newer}, [])
    await other.close()
    assert await reader.fleets((0, 1, 2)) == [TOTAL, TOTAL]
    assert await reader.bot((0, 1, 2), "a") == newer
    assert await reader.bot((0,), "a") == ROW
    assert await reader.bot((0, 1), "nobody") is None


async def test_it_does_not_stay_for_ever(valkey: Valkey, store: ValkeyMetrics) -> None:
    await store.save(TOTAL, {"a": ROW}, [])
    with valkey.client() as client:
        left_s = client.ttl(f"{KEY}0")
    assert isinstance(left_s, int)
    assert 0 < left_s <= KEPT_S


async def test_what_another_release_wrote_is_passed_over(
    valkey: Valkey, store: ValkeyMetrics, reader: ValkeyMetricsReader
) -> None:
    with valkey.client() as client:
        client.hset(f"{KEY}0", mapping={FLEET: b"\xc1", "a": b"nonsense"})
    assert await store.load() == (None, {})
    assert await reader.fleets((0,)) == []
    assert await reader.bot((0,), "a") is None


async def test_a_store_that_is_away_says_so(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/{ULID()}"
    store, reader = ValkeyMetrics(url, 0), ValkeyMetricsReader(url)
    with pytest.raises(AWAY):
        await store.load()
    with pytest.raises(AWAY):
        await store.save(TOTAL, {}, [])
    with pytest.raises(AWAY):
        await reader.bot((0,), "a")
    assert await reader.fleets((0,)) is None
    await store.close()
    await reader.close()
