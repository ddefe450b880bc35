"""The worker's gate before IDENTIFY: waits for the supervisor, and is not lost without one."""

import asyncio

import pytest

from flotilla.protocol import (
    AskIdentify,
    FromWorker,
    GatewayAnswer,
    GatewaySeen,
    IdentifiedAlone,
    MayIdentify,
    NotYet,
    Welcome,
    WorkerConfig,
    WorkerLimits,
)
from worker_bot import identify as module
from worker_bot.identify import IdentifyGate, SessionBudgetError

CONFIG = WorkerConfig("http://discord", (), "INFO", WorkerLimits())
ANSWER = GatewayAnswer("wss://gateway", 1, 1000, 900, 1, 3600.0)


class Line:
    """What the gate sends, and whether somebody is there to hear it."""

    def __init__(self) -> None:
        self.there = True
        self.sent: list[FromWorker] = []

    def send(self, message: FromWorker) -> bool:
        if self.there:
            self.sent.append(message)
        return self.there


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def gate(line: Line) -> IdentifyGate:
    gate = IdentifyGate(line.send)
    gate.welcomed(welcome())
    return gate


def welcome(alone: int = 0, gateway: GatewayAnswer | None = None) -> Welcome:
    return Welcome(None, CONFIG, gateway, alone, 0.05)


async def test_shard_waits_until_it_is_granted(gate: IdentifyGate, line: Line) -> None:
    gate.ask(3)
    waiting = asyncio.create_task(gate.granted(3))
    await asyncio.sleep(0)
    assert (line.sent, waiting.done()) == ([AskIdentify(3, 1, renewed=False)], False)
    gate.answered(MayIdentify(3, 9))  # of another question
    gate.answered(MayIdentify(4, 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.answered(MayIdentify(3, 1))
    await waiting
    gate.was_ready = True
    gate.ask(3)
    assert line.sent[-1] == AskIdentify(3, 2, renewed=True)


async def test_start_that_a_failed_connection_did_not_spend_serves_the_next_one(gate: IdentifyGate, line: Line) -> None:
    gate.ask(0)
    gate.answered(MayIdentify(0, 1))
    gate.ask(0)  # the first connection failed before IDENTIFY
    await gate.granted(0)
    assert len(line.sent) == 1


async def test_answer_that_is_too_old_is_asked_for_anew(
    gate: IdentifyGate, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.ask(0)
    gate.answered(MayIdentify(0, 1))
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    gate.ask(0)
    assert line.sent[-1] == AskIdentify(0, 2, renewed=False)


async def test_refusal_is_raised_and_the_next_attempt_waits(gate: IdentifyGate) -> None:
    gate.ask(0)
    gate.answered(NotYet(0, 1, 0.05, "session_budget"))
    with pytest.raises(SessionBudgetError) as refused:
        await gate.granted(0)
    assert (refused.value.wait_s, refused.value.code) == (0.05, "session_budget")
    began = asyncio.get_running_loop().time()
    await gate.pause(0)
    assert asyncio.get_running_loop().time() - began >= 0.02
    again = asyncio.create_task(gate.pause(0))
    await asyncio.sleep(0)
    assert again.done()


async def test_question_is_repeated_to_the_next_supervisor(gate: IdentifyGate, line: Line) -> None:
    line.there = False
    waiting = asyncio.create_task(gate.granted(0))
    await asyncio.sleep(0)
    line.there = True
    gate.welcomed(welcome())
    assert line.sent == [AskIdentify(0, 1, renewed=False)]
    gate.answered(MayIdentify(0, 1))
    await waiting


async def test_worker_alone_spends_what_it_was_given_and_tells_it_later(gate: IdentifyGate, line: Line) -> None:
    gate.welcomed(welcome(alone=2))
    line.there = False
    await gate.granted(0)
    await gate.granted(1)
    third = asyncio.create_task(gate.granted(2))
    await asyncio.sleep(0.2)
    assert not third.done()
    line.there = True
    gate.welcomed(welcome())
    told = [message for message in line.sent if isinstance(message, IdentifiedAlone)]
    assert [message.shard_id for message in told] == [0, 1]
    assert all(0.1 < message.ago_s < 5 for message in told)
    assert line.sent[-1] == AskIdentify(2, 3, renewed=False)
    gate.answered(MayIdentify(2, 3))
    await third
    gate.welcomed(welcome())
    assert len([message for message in line.sent if isinstance(message, IdentifiedAlone)]) == 2


async def test_supervisor_that_hangs_is_as_good_as_none(gate: IdentifyGate, line: Line) -> None:
    gate.welcomed(welcome(alone=1))
    await gate.granted(0)
    assert line.sent[-1] == IdentifiedAlone(0, 0.0)


async def test_shared_answer_of_discord_is_used_once(gate: IdentifyGate, line: Line) -> None:
    gate.welcomed(welcome(gateway=ANSWER))
    gate.welcomed(welcome())
    assert gate.take_gateway() == ANSWER
    assert gate.take_gateway() is None
    gate.learned(ANSWER)
    assert line.sent == [GatewaySeen(ANSWER)]
