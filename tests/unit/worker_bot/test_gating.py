"""hikari asks the gate before it begins a session, and before nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import hikari
import pytest
from hikari.impl.rest import RESTClientImpl
from hikari.impl.shard import GatewayShardImpl

from flotilla.protocol import (
    AskIdentify,
    FromWorker,
    GatewayAnswer,
    GatewaySeen,
    MayIdentify,
    NotYet,
    Welcome,
    WorkerConfig,
    WorkerLimits,
)
from worker_bot import gating
from worker_bot.gating import IDENTIFY, SessionRefusedError
from worker_bot.identify import IdentifyGate
from worker_bot.triage import reason_of

RESUME = 6
CONFIG = WorkerConfig("http://discord", (), "INFO", WorkerLimits())
ANSWER = GatewayAnswer("wss://gateway", 2, 1000, 1, 1, 3600.0)


class Shard:
    """A shard with the names that hikari's has."""

    def __init__(self, shard_count: int = 1, seq: int | None = None) -> None:
        self.id = 0
        self.shard_count = shard_count
        self._seq = seq


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches Discord."""
    payloads: list[Any] = []

    async def send(_shard: Shard, data: Any, *, priority: bool) -> None:
        payloads.append((data, priority))

    async def connect(_shard: Shard) -> tuple[()]:
        return ()

    async def fetch(_rest: object) -> hikari.GatewayBotInfo:
        payloads.append("GET /gateway/bot")
        limit = hikari.SessionStartLimit(total=1000, remaining=0, reset_after=timedelta(hours=1), max_concurrency=1)
        return hikari.GatewayBotInfo(url="wss://asked", shard_count=3, session_start_limit=limit)

    monkeypatch.setattr(gating, "_send", send)
    monkeypatch.setattr(gating, "_connect", connect)
    monkeypatch.setattr(gating, "_fetch", fetch)
    return payloads


@pytest.fixture
async def told() -> list[FromWorker]:
    return []


@pytest.fixture
async def gate(told: list[FromWorker]) -> AsyncIterator[IdentifyGate]:
    def send(message: FromWorker) -> bool:
        told.append(message)
        return True

    gate = IdentifyGate(send)
    gating.install(gate)
    yield gate
    gating.install(None)


def send(shard: Shard, operation: int) -> asyncio.Task[None]:
    sending: Any = GatewayShardImpl._send_json
    return asyncio.create_task(sending(shard, {"op": operation}, priority=True))


async def connect(shard: Shard) -> None:
    connecting: Any = GatewayShardImpl._connect
    await connecting(shard)


async def test_identify_waits_and_all_else_does_not(gate: IdentifyGate, sent: list[Any], told: list[Any]) -> None:
    await send(Shard(seq=5), RESUME)
    identifying = send(Shard(), IDENTIFY)
    await asyncio.sleep(0)
    assert sent == [({"op": RESUME}, True)]
    assert told == [AskIdentify(0, 1, renewed=False)]
    gate.answered(MayIdentify(0, 1))
    await identifying
    assert sent[-1] == ({"op": IDENTIFY}, True)


@pytest.mark.usefixtures("gate", "sent")
async def test_it_is_asked_while_the_shard_connects_but_not_for_a_resume(told: list[Any]) -> None:
    for shard in (Shard(seq=5), Shard()):
        await connect(shard)
    assert told == [AskIdentify(0, 1, renewed=False)]


async def test_refusal_of_the_only_shard_ends_the_run_with_its_reason(gate: IdentifyGate, sent: list[Any]) -> None:
    gate.ask(0)
    gate.answered(NotYet(0, 1, 60, "session_limit"))
    with pytest.raises(SessionRefusedError) as refused:
        await send(Shard(), IDENTIFY)
    assert not refused.value.can_reconnect
    assert reason_of(refused.value) == "session_limit"
    assert sent == []


@pytest.mark.parametrize(("shard_count", "was_ready", "code"), [(2, True, "session_budget"), (1, False, None)])
async def test_other_refusals_make_the_shard_connect_anew_after_its_wait(
    gate: IdentifyGate, sent: list[Any], shard_count: int, was_ready: bool, code: str | None
) -> None:
    gate.ask(0)
    gate.was_ready = was_ready
    gate.answered(NotYet(0, 1, 0.05, code))
    with pytest.raises(ConnectionResetError):
        await send(Shard(shard_count), IDENTIFY)
    began = asyncio.get_running_loop().time()
    await connect(Shard(shard_count, seq=5))
    assert asyncio.get_running_loop().time() - began >= 0.04
    assert sent == []


async def fetched() -> hikari.GatewayBotInfo:
    fetching: Any = RESTClientImpl.fetch_gateway_bot_info
    info: hikari.GatewayBotInfo = await fetching(object())
    return info


async def test_shared_answer_spares_the_request_and_another_is_told(
    gate: IdentifyGate, sent: list[Any], told: list[Any]
) -> None:
    gate.welcomed(Welcome(None, CONFIG, ANSWER))
    shared = await fetched()
    assert (shared.url, shared.shard_count, sent, told) == ("wss://gateway", 2, [], [])
    assert shared.session_start_limit.remaining == 2  # enough for hikari: the gate decides
    asked = await fetched()
    assert (asked.url, asked.session_start_limit.remaining, sent) == ("wss://asked", 3, ["GET /gateway/bot"])
    assert told == [GatewaySeen(GatewayAnswer("wss://asked", 3, 1000, 0, 1, 3600.0))]


async def test_without_a_gate_hikari_is_as_it_is(sent: list[Any]) -> None:
    gating.install(None)
    await send(Shard(), IDENTIFY)
    assert (await fetched()).session_start_limit.remaining == 0
    assert sent == [({"op": IDENTIFY}, True), "GET /gateway/bot"]


async def test_who_wants_to_know_is_told_of_an_identify_just_before_it_is_sent(sent: list[Any]) -> None:
    told: list[Any] = []
    gating.install(None, lambda shard: told.append((shard, len(sent))))
    try:
        shard = Shard()
        await send(shard, RESUME)
        await send(shard, IDENTIFY)
    finally:
        gating.install(None)
    assert told == [(shard, 1)]
    assert len(sent) == 2
