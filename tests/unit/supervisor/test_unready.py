"""A bot that lost its session for good is told and restarted; one that lost it with all others is not."""

import itertools
from datetime import UTC, datetime

import pytest

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.policy import Policy
from flotilla.domain.unready import LONGEST_S, TOLD_AFTER, is_outage
from flotilla.domain.worker import BecameReady, LostReady, State
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.shell import Shell
from supervisor.unready import AGAIN_S, RENEWED_AT_ONCE, Unready
from tests.builders import none_refused
from tests.fakes.fleet import MemoryFleetStore

TIMEOUT_S = Policy().reconnect_timeout_s


def a_bot(number: int, desired: Desired = Desired.RUNNING) -> Bot:
    return Bot(str(number), f"bot-{number}", str(number), (), desired, 0, datetime.now(UTC))


class Case:
    """Some bots that are READY, and a clock that is set by hand. No process is ever made."""

    def __init__(self, bots: int) -> None:
        self.now = 1000.0
        self.can_pay = self.answers = True
        self.store = MemoryFleetStore()
        self.chronicle = Chronicle(self.store)
        shell = Shell(
            spawn=lambda *_: None,
            on_exit=lambda *_: None,
            dump_stacks=lambda _: None,
            on_gone=lambda *_: None,
            on_policy=lambda _: None,
        )
        self.bots = [a_bot(number) for number in range(bots)]
        self.fleet = Fleet(
            Policy(), Journal(self.store, none_refused), shell, spawn_concurrency=bots, clock=lambda: self.now
        )
        self.fleet.reconcile(self.bots)
        for bot in self.bots:
            self.store.put(bot)
        for member in self.fleet:
            self.fleet.apply(member, BecameReady(1))
        self.unready = Unready(self.fleet, self.chronicle, lambda _: self.can_pay, self.reachable)

    async def reachable(self) -> bool:
        return self.answers

    def member(self, number: int = 0) -> Member:
        member = self.fleet.get(str(number))
        assert member is not None
        return member

    def lose(self, *numbers: int) -> None:
        for number in numbers:
            self.fleet.apply(self.member(number), LostReady(self.member(number).worker.generation))

    def recover(self, number: int = 0) -> None:
        self.fleet.apply(self.member(number), BecameReady(self.member(number).worker.generation))

    def restart(self, number: int = 0) -> None:
        """Let a worker that is to be replaced be so, and its successor lose its session as well."""
        worker = self.member(number).worker
        assert (worker.state, worker.reason, worker.restart) == (State.STOPPING, "gateway_lost", True)
        self.fleet.exited(str(number), worker.generation, 0)

    async def pass_s(self, seconds: float, step_s: float = 5.0) -> None:
        until = self.now + seconds
        await self.unready.look()
        while self.now < until:
            self.now = min(until, self.now + step_s)
            await self.unready.look()

    async def told(self, bot: str | None = "0") -> list[str]:
        await self.chronicle.writer.flush()
        return [row.code for row in self.store.happenings.get(bot, [])]

    def renewed(self) -> list[str]:
        return [member.bot.id for member in self.fleet if member.worker.reason == "gateway_lost"]


async def test_bot_that_never_gets_its_session_back_is_told_and_then_restarted_warm() -> None:
    case = Case(1)
    case.lose(0)
    await case.pass_s(TIMEOUT_S * TOLD_AFTER - 1, 1.0)
    assert await case.told() == []
    await case.pass_s(2, 1.0)
    assert await case.told() == ["gateway_lost"]
    await case.pass_s(TIMEOUT_S * (1 - TOLD_AFTER) - 5)
    assert case.member().worker.state is State.RUNNING
    await case.pass_s(5)
    case.restart()
    case.recover()
    await case.pass_s(1)
    assert await case.told() == ["gateway_lost", "gateway_back"]
    assert case.store.happenings["0"][1].detail["restarts"] == 1


async def test_bot_that_gets_it_back_by_itself_is_left_alone_and_its_time_begins_anew() -> None:
    case = Case(1)
    for _ in range(3):
        case.lose(0)
        await case.pass_s(TIMEOUT_S * 0.9)
        case.recover()
        await case.pass_s(1)
    assert case.renewed() == []


async def test_while_most_bots_are_without_a_session_none_is_restarted_however_long_it_lasts() -> None:
    case = Case(5)
    case.lose(0, 1, 2, 3)
    await case.pass_s(10 * TIMEOUT_S)
    assert case.renewed() == []
    assert await case.told(None) == ["gateway_outage"]
    assert await case.told() == []
    for number in (1, 2, 3):
        case.recover(number)
    await case.pass_s(TIMEOUT_S - 1)
    assert case.renewed() == [], "the time of one that is left begins when the outage is over"
    await case.pass_s(5)
    assert case.renewed() == ["0"]


async def test_nobody_is_restarted_in_vain_when_no_start_is_left_or_discord_does_not_answer() -> None:
    case = Case(3)
    case.lose(0)
    case.can_pay = False
    await case.pass_s(2 * TIMEOUT_S)
    case.can_pay, case.answers = True, False
    await case.pass_s(2 * TIMEOUT_S)
    assert case.renewed() == []
    case.answers = True
    await case.pass_s(AGAIN_S)
    assert case.renewed() == ["0"]


async def test_restarts_for_one_loss_come_less_and_less_often() -> None:
    case, at = Case(3), [0.0]
    case.lose(0)
    began = case.now
    for _ in range(6):
        while not case.renewed():
            await case.pass_s(30, 30)
        at.append(case.now - began)
        case.restart()
        case.fleet.apply(case.member(), BecameReady(case.member().worker.generation))
        case.lose(0)  # within one look of the supervisor
    waits = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert waits == sorted(waits)
    assert waits[0] <= TIMEOUT_S + 60 < waits[1]
    assert waits[-1] <= LONGEST_S + 60


async def test_few_are_restarted_at_once() -> None:
    case = Case(40)
    case.lose(*range(15))
    await case.pass_s(TIMEOUT_S - 1)
    case.now += 1
    await case.unready.look()
    assert len(case.renewed()) == RENEWED_AT_ONCE
    for _ in range(5):
        case.now += 1
        await case.unready.look()
    assert len(case.renewed()) == 15


async def test_bot_that_is_stopped_meanwhile_is_not_restarted() -> None:
    case = Case(3)
    case.lose(0)
    await case.pass_s(TIMEOUT_S / 2)
    case.fleet.reconcile([a_bot(0, Desired.STOPPED), *case.bots[1:]])
    await case.pass_s(2 * TIMEOUT_S)
    assert case.renewed() == []
    assert await case.told() == ["gateway_lost"]


@pytest.mark.parametrize(
    ("lost", "running", "outage"),
    [(1, 1, False), (1, 2, False), (2, 2, True), (2, 4, False), (3, 4, True), (0, 0, False)],
)
def test_outage_is_told_from_one_bots_trouble(lost: int, running: int, *, outage: bool) -> None:
    assert is_outage(lost, running) is outage
