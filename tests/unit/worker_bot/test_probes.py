"""What a worker tells of itself: at once what changes, figures now and then."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flotilla.protocol import Probed, WorkerLimits
from tests.unit.worker_bot.test_delivery import Bot, Shard
from worker_bot import probes as module
from worker_bot import responses
from worker_bot.probes import Probes

LIMITS = WorkerLimits()


@pytest.fixture
async def probes() -> AsyncIterator[Probes]:
    yield Probes(Bot(7))
    responses.install(None)


async def test_before_the_first_event_nothing_is_known(probes: Probes) -> None:
    assert probes.look(LIMITS) == Probed(None, "", 0.0)


async def test_change_is_told_at_once_and_figures_now_and_then(probes: Probes, monkeypatch: pytest.MonkeyPatch) -> None:
    probes.look(LIMITS)
    assert probes.look(LIMITS) is None
    shard: Any = Shard()
    probes.see("READY", shard, {})
    probes.see("GUILD_CREATE", shard, {"id": "7"})
    told = probes.look(LIMITS)
    assert told is not None
    assert told.delivery == "ok"
    assert probes.look(LIMITS) is None
    monkeypatch.setattr(module, "REPORT_S", 0.0)
    assert probes.look(LIMITS) == told


@pytest.mark.parametrize("payload", [None, [], {}, {"id": None}, {"id": "x"}, {"id": "²"}])
async def test_interaction_that_is_nonsense_is_none(probes: Probes, payload: Any) -> None:
    shard: Any = Shard()
    probes.see("INTERACTION_CREATE", shard, payload)
    assert probes.look(LIMITS) is not None
