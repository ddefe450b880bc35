"""Who may begin a session: recorded first, granted then, whatever dies, hangs or is away in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from flotilla.domain.policy import Policy
from flotilla.domain.sessions import FLOOR, FRESH, TOTAL, Cause, Start
from flotilla.domain.worker import State, Worker
from flotilla.protocol import (
    AskIdentify,
    GatewayAnswer,
    GatewaySeen,
    IdentifiedAlone,
    MayIdentify,
    NotYet,
    ToWorker,
)
from supervisor import sessions as module
from supervisor.chronicle import Chronicle
from supervisor.member import Member
from supervisor.sessions import ALONE, Sessions, steady_clock
from tests.builders import a_bot
from tests.fakes.fleet import MemoryFleetStore
from tests.fakes.sessions import MemorySessionStore
from tests.stack import until

ANSWER = GatewayAnswer("wss://gateway", 1, 1000, 900, 1, 3600.0)


class Host:
    """Ledgers with a clock that is set by hand, and everything that was told to workers."""

    def __init__(self, store: MemorySessionStore | None = None, booted_at: datetime | None = None) -> None:
        self.store = store or MemorySessionStore()
        self.happenings = MemoryFleetStore()
        self.chronicle = Chronicle(self.happenings)
        self.told: list[tuple[str, ToWorker]] = []
        self.now = datetime.now().astimezone()
        self.sessions = Sessions(
            self.store, self.chronicle, self.tell, interval_s=0, clock=lambda: self.now, booted_at=booted_at
        )
        self.running: list[asyncio.Task[None]] = []

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        self.told.append((bot_id, message))
        return True

    def run(self) -> None:
        self.running.append(asyncio.create_task(self.sessions.writer.run()))

    async def answer_to(self, member: Member, question: AskIdentify, generation: int = 1) -> ToWorker:
        count = len(self.told)
        member.worker = replace(member.worker, generation=generation)
        self.sessions.take(member, generation, question)
        await until(lambda: len(self.told) > count, "an answer", 5)
        return self.told[-1][1]

    def spend(self, member: Member, count: int, ago: timedelta = timedelta(hours=12)) -> None:
        key = member.bot.application_id
        self.store.starts += [(key, Start(self.now - ago, Cause.CRASH)) for _ in range(count)]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    host.run()
    yield host
    for task in host.running:
        task.cancel()


@pytest.fixture
def member(host: Host) -> Member:
    bot = a_bot(1)
    host.happenings.put(bot)
    return Member(bot, worker=Worker(State.STARTING, 1))


async def test_start_is_stored_before_it_is_granted(host: Host, member: Member) -> None:
    host.store.slow = asyncio.Event()
    host.sessions.take(member, 1, AskIdentify(0, 1, renewed=False))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (host.told, host.store.starts) == ([], [])
    host.store.slow.set()
    await until(lambda: host.told, "the grant")
    assert host.told == [(member.bot.id, MayIdentify(0, 1))]
    assert [(key, start.cause) for key, start in host.store.starts] == [(member.bot.application_id, Cause.CRASH)]


async def test_supervisor_that_dies_after_the_record_forgets_nothing(host: Host, member: Member) -> None:
    await host.answer_to(member, AskIdentify(0, 1, renewed=False))
    successor = Host(host.store)
    await successor.sessions.load()
    successor.sessions.show(member)
    assert member.vitals.session_starts_24h == 1


async def test_question_that_is_asked_again_is_granted_again_and_counted_once(host: Host, member: Member) -> None:
    for _ in range(3):
        assert await host.answer_to(member, AskIdentify(0, 1, renewed=False)) == MayIdentify(0, 1)
    assert len(host.store.starts) == 1
    assert await host.answer_to(member, AskIdentify(0, 2, renewed=False)) == MayIdentify(0, 2)
    assert len(host.store.starts) == 2


async def test_question_repeated_while_the_record_is_on_its_way_is_counted_once(host: Host, member: Member) -> None:
    host.store.slow = asyncio.Event()
    for _ in range(3):
        host.sessions.take(member, 1, AskIdentify(0, 1, renewed=False))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    host.store.slow.set()
    await until(lambda: host.told, "the grant")
    assert (len(host.store.starts), len(host.told)) == (1, 1)


async def test_many_starts_at_once_share_transactions(host: Host) -> None:
    for number in range(100):
        bot = a_bot(number)
        host.sessions.take(Member(bot, worker=Worker(State.STARTING, 1)), 1, AskIdentify(0, 1, renewed=False))
    await until(lambda: len(host.told) == 100, "all are granted")
    assert len(host.store.starts) == 100
    assert host.store.transactions < 10


async def test_automatic_start_is_refused_at_the_reserve_and_an_asked_one_is_granted(
    host: Host, member: Member
) -> None:
    host.spend(member, TOTAL - member.policy.session_reserve)
    await host.sessions.load()
    refusal = await host.answer_to(member, AskIdentify(0, 1, renewed=False))
    assert isinstance(refusal, NotYet)
    assert (refusal.code, round(refusal.wait_s / 3600)) == ("session_budget", 12)
    member.start_cause = Cause.ASKED
    assert await host.answer_to(member, AskIdentify(0, 2, renewed=False), 2) == MayIdentify(0, 2)
    # What a person asked for is one start of each shard: what fails after it is automatic again.
    for question in (AskIdentify(0, 3, renewed=False), AskIdentify(0, 4, renewed=True)):
        assert isinstance(await host.answer_to(member, question, 2), NotYet)
    await host.chronicle.writer.flush()
    assert [row.code for row in host.happenings.happenings[member.bot.id]] == ["session_budget"]


async def test_bot_of_many_shards_begins_none_unless_it_can_pay_for_all(host: Host, member: Member) -> None:
    host.sessions.take(member, 1, GatewaySeen(replace_answer(shards=4, max_concurrency=4)))
    host.spend(member, 950 - 4)
    await host.sessions.writer.stored()
    await host.sessions.load()
    for shard_id in range(4):
        assert await host.answer_to(member, AskIdentify(shard_id, shard_id, renewed=False)) == MayIdentify(
            shard_id, shard_id
        )
    host.store.starts.pop()
    await host.sessions.load()
    assert isinstance(await host.answer_to(member, AskIdentify(0, 9, renewed=False), 2), NotYet)
    assert await host.answer_to(member, AskIdentify(0, 10, renewed=True), 2) == MayIdentify(0, 10)
    member.worker = Worker(State.STARTING, 3, reason="session_budget")
    assert host.sessions.withheld(member)


async def test_worker_that_is_gone_when_its_turn_comes_spends_nothing(host: Host, member: Member) -> None:
    host.sessions.take(member, 1, AskIdentify(0, 1, renewed=False))
    member.worker = Worker(State.STARTING, 2)
    await asyncio.sleep(0.05)
    assert (host.told, host.store.starts) == ([], [])


async def test_late_question_of_an_old_worker_does_not_cancel_the_one_of_its_successor(
    host: Host, member: Member
) -> None:
    host.store.away = True
    member.worker = Worker(State.STARTING, 2)
    host.sessions.take(member, 2, AskIdentify(0, 7, renewed=False))
    await asyncio.sleep(0)
    host.sessions.take(member, 1, AskIdentify(0, 1, renewed=False))
    host.store.away = False
    await until(lambda: host.told, "an answer")
    assert [message for _, message in host.told] == [MayIdentify(0, 7)]
    assert len(host.store.starts) == 1


async def test_shard_that_cannot_be_is_passed_over(host: Host, member: Member) -> None:
    for shard_id in (-1, 1_000_000):
        host.sessions.take(member, 1, AskIdentify(shard_id, 1, renewed=False))
    await asyncio.sleep(0.05)
    assert host.told == []


async def test_reserve_of_a_bot_is_its_own_and_holds_at_once(host: Host, member: Member) -> None:
    host.spend(member, 500)
    await host.sessions.load()
    member.policy = replace(Policy(), session_reserve=500)
    assert isinstance(await host.answer_to(member, AskIdentify(0, 1, renewed=False)), NotYet)
    member.policy = replace(Policy(), session_reserve=499)
    assert isinstance(await host.answer_to(member, AskIdentify(0, 2, renewed=False)), MayIdentify)


async def test_short_wait_is_held_and_a_long_one_is_told(
    host: Host, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.sessions = Sessions(host.store, host.chronicle, host.tell, interval_s=0.2)
    host.run()
    assert await host.answer_to(member, AskIdentify(0, 1, renewed=False)) == MayIdentify(0, 1)
    assert await host.answer_to(member, AskIdentify(0, 2, renewed=True)) == MayIdentify(0, 2)
    between_s = (host.store.starts[1][1].at - host.store.starts[0][1].at).total_seconds()
    assert between_s >= 0.2
    monkeypatch.setattr(module, "HELD", 0.0)
    refusal = await host.answer_to(member, AskIdentify(0, 3, renewed=True))
    assert isinstance(refusal, NotYet)
    assert refusal.code is None


async def test_database_that_is_slow_is_waited_for(host: Host, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_WAIT_S", 0.01)
    host.store.slow = asyncio.Event()
    host.sessions.take(member, 1, AskIdentify(0, 1, renewed=False))
    await asyncio.sleep(0.1)
    assert host.told == []
    host.store.slow.set()
    await until(lambda: host.told, "the grant")


async def test_few_starts_are_granted_while_the_database_is_away_and_stored_later(
    host: Host, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORE_WAIT_S", 0.02)
    host.store.away = True
    for number in range(module.UNSTORED):
        question = AskIdentify(0, number, renewed=True)
        assert isinstance(await host.answer_to(member, question), MayIdentify)
    host.sessions.take(member, 1, AskIdentify(0, 9, renewed=True))
    await asyncio.sleep(0.1)
    assert len(host.told) == module.UNSTORED
    host.store.away = False
    await until(lambda: len(host.told) > module.UNSTORED, "the rest is granted with the database back", 10)
    assert len(host.store.starts) == module.UNSTORED + 1


# What Discord says ---------------------------------------------------------------------------------------------------


async def test_what_discord_said_serves_the_next_worker_of_the_application_alone(host: Host, member: Member) -> None:
    assert host.sessions.gateway(member) is None
    host.sessions.take(member, 1, GatewaySeen(ANSWER))
    host.now += timedelta(seconds=60)
    assert host.sessions.gateway(member) == replace_answer(reset_after_s=3540.0)
    assert host.sessions.gateway(Member(a_bot(2))) is None
    await host.sessions.writer.stored()
    successor = Host(host.store)
    successor.now = host.now
    await successor.sessions.load()
    assert successor.sessions.gateway(member) == replace_answer(reset_after_s=3540.0)
    host.now += FRESH
    assert host.sessions.gateway(member) is None


def replace_answer(**changes: float) -> GatewayAnswer:
    values = {name: getattr(ANSWER, name) for name in ANSWER.__struct_fields__} | changes
    return GatewayAnswer(**values)


async def test_answer_from_before_the_host_started_is_asked_for_again(host: Host, member: Member) -> None:
    rebooted = Host(host.store, booted_at=host.now + timedelta(minutes=1))
    rebooted.sessions.take(member, 1, GatewaySeen(ANSWER))
    rebooted.now += timedelta(seconds=30)
    assert rebooted.sessions.gateway(member) is None


@pytest.mark.parametrize(
    "nonsense",
    [
        {"shards": 0},
        {"total": -1},
        {"max_concurrency": 0},
        {"remaining": -1},
        {"reset_after_s": -1.0},
        {"reset_after_s": float("inf")},
        {"reset_after_s": float("nan")},
        {"url": "x" * 501},
    ],
)
async def test_nonsense_from_a_worker_changes_nothing(host: Host, member: Member, nonsense: dict[str, float]) -> None:
    host.sessions.take(member, 1, GatewaySeen(replace_answer(**nonsense)))
    assert host.sessions.gateway(member) is None


async def test_worker_may_be_alone_with_a_few_starts_but_not_with_the_reserve(host: Host, member: Member) -> None:
    assert host.sessions.alone(member)[0] == ALONE
    host.spend(member, TOTAL - member.policy.session_reserve - 1)
    await host.sessions.load()
    assert host.sessions.alone(member)[0] == 1
    host.sessions.take(member, 1, IdentifiedAlone(0, 30.0))
    assert host.sessions.alone(member)[0] == 0
    await host.sessions.writer.stored()
    assert host.store.starts[-1][1].cause == Cause.ALONE
    assert host.now - host.store.starts[-1][1].at == timedelta(seconds=30)


async def test_floor_is_kept_even_from_a_worker_alone(host: Host, member: Member) -> None:
    member.policy = replace(Policy(), session_reserve=1)
    host.spend(member, TOTAL - FLOOR)
    await host.sessions.load()
    assert host.sessions.alone(member)[0] == 0


# Withheld and shown --------------------------------------------------------------------------------------------------


async def test_bot_that_waits_for_its_budget_is_not_spawned_until_then(host: Host, member: Member) -> None:
    host.spend(member, TOTAL - member.policy.session_reserve)
    await host.sessions.load()
    assert host.sessions.withheld(member) is None  # it may have a session to resume
    member.worker = Worker(State.STARTING, 2, reason="session_budget")
    code, wait_s = host.sessions.withheld(member) or ("", 0)
    assert (code, round(wait_s / 3600)) == ("session_budget", 12)
    shown = member.vitals.session_start_at
    assert shown is not None
    assert abs((shown - host.now).total_seconds() - wait_s) < 1
    host.now += timedelta(seconds=wait_s)
    assert host.sessions.withheld(member) is None


async def test_operator_is_told_once_when_starts_run_out(host: Host, member: Member) -> None:
    host.spend(member, 759)
    await host.sessions.load()
    for number in range(3):
        await host.answer_to(member, AskIdentify(0, number, renewed=False))
    await host.chronicle.writer.flush()
    (row,) = host.happenings.happenings[member.bot.id]
    assert (row.code, row.detail) == ("session_budget", {"left": 240, "spent_24h": 760})


async def test_removed_bot_is_forgotten_and_its_day_is_not(host: Host, member: Member) -> None:
    await host.answer_to(member, AskIdentify(0, 1, renewed=False))
    host.sessions.forget(member.bot.id)
    again = Member(replace(member.bot, id="01J00000000000000000000000"))
    host.sessions.show(again)
    assert again.vitals.session_starts_24h == 1


async def test_clock_of_the_ledger_goes_on_evenly() -> None:
    clock = steady_clock()
    first = clock()
    await asyncio.sleep(0.01)
    assert timedelta() < clock() - first < timedelta(seconds=5)
    assert abs((first - datetime.now().astimezone()).total_seconds()) < 5


async def test_session_starts_that_nobody_here_made_are_told_once(host: Host, member: Member) -> None:
    for _ in range(3):
        host.sessions.take(member, 1, GatewaySeen(ANSWER))
        host.now += timedelta(minutes=15)
        assert await host.answer_to(member, AskIdentify(0, host.now.minute + 1, renewed=False))
        left = replace_answer(remaining=ANSWER.remaining - 10, reset_after_s=ANSWER.reset_after_s - 900)
        host.sessions.take(member, 1, GatewaySeen(left))
        host.now -= timedelta(minutes=15)
    await host.chronicle.writer.flush()
    found = [row for row in host.happenings.happenings.get(member.bot.id, []) if row.code == "second_instance"]
    assert [row.detail for row in found] == [{"session_starts": 9}]


async def test_session_starts_of_our_own_are_not_told(host: Host, member: Member) -> None:
    host.sessions.take(member, 1, GatewaySeen(ANSWER))
    for number in range(10):
        host.now += timedelta(seconds=90)
        assert await host.answer_to(member, AskIdentify(0, number + 1, renewed=False))
    left = replace_answer(remaining=ANSWER.remaining - 10, reset_after_s=ANSWER.reset_after_s - 900)
    host.sessions.take(member, 1, GatewaySeen(left))
    await host.chronicle.writer.flush()
    assert "second_instance" not in [row.code for row in host.happenings.happenings.get(member.bot.id, [])]
