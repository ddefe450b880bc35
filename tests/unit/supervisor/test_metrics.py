"""What workers count is added up once, whoever is away or restarted meanwhile."""

import asyncio
import time
from typing import Any

import pytest
import redis

from flotilla.domain.metrics import NOTHING, BotMetrics, Counts, FleetMetrics, plus
from flotilla.protocol import Measured
from flotilla.valkey import AWAY
from supervisor import metrics as module
from supervisor.member import Member
from supervisor.metrics import Metrics
from tests.builders import a_bot
from tests.fakes.metrics import MemoryMetrics
from tests.stack import until


def pings(number: int, **more: int) -> Counts:
    return Counts({"command answered": number}, more)


class Case:
    """A supervisor's metrics on a store that outlives it."""

    def __init__(self) -> None:
        self.store = MemoryMetrics()
        self.members = {bot.id: Member(bot) for bot in (a_bot(1), a_bot(2))}
        self.one, self.two = self.members.values()
        self.begin()

    def begin(self) -> None:
        """As the next supervisor."""
        self.metrics = Metrics(lambda: (self.store, AWAY), self.members.get, 0.01, 0.0)
        self.metrics._store = self.store

    def tell(self, member: Member, generation: int, counts: Counts, age_s: float = 0.0, **cache: int) -> None:
        self.metrics.take(member, generation, Measured(counts, cache, age_s))

    def of_fleet(self) -> Counts:
        assert self.store.fleet is not None
        return self.store.fleet.counts

    def of(self, member: Member) -> Counts:
        row = self.store.bots[member.bot.id]
        return plus(row.before, row.last)


@pytest.fixture
def case() -> Case:
    return Case()


async def test_a_fleets_counts_are_those_of_all_its_bots(case: Case) -> None:
    case.tell(case.one, 1, pings(1))
    case.tell(case.one, 1, pings(3, READY=1))
    case.tell(case.two, 1, pings(5))
    await case.metrics.storing.once()
    case.tell(case.one, 1, pings(4, READY=1))
    await case.metrics.storing.once()
    assert case.of_fleet() == pings(9, READY=1)
    assert (case.of(case.one), case.of(case.two)) == (pings(4, READY=1), pings(5))


async def test_the_next_process_of_a_bot_goes_on_counting(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    case.tell(case.one, 2, pings(1))
    case.tell(case.one, 1, pings(9))
    await case.metrics.storing.once()
    assert case.of_fleet() == pings(10)
    case.tell(case.one, 1, pings(11))  # long after its successor began
    case.tell(case.one, 2, pings(2))
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.of(case.one)) == (pings(11), pings(11))


async def test_the_next_supervisor_goes_on_where_the_one_before_was(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    case.begin()
    case.tell(case.one, 1, pings(5), age_s=100)
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.of(case.one)) == (pings(5), pings(5))


async def test_what_a_stranger_counted_before_it_was_met_does_not_jump_into_the_fleets(case: Case) -> None:
    case.tell(case.one, 7, pings(1_000), age_s=100)
    case.tell(case.two, 1, pings(2))
    await case.metrics.storing.once()
    assert case.of_fleet() == pings(2)
    case.tell(case.one, 7, pings(1_001), age_s=110)
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.of(case.one)) == (pings(3), pings(1_001))


async def test_while_the_store_is_away_nothing_is_lost_or_counted_twice(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    case.store.away = True
    for number in (4, 5):
        case.tell(case.one, 1, pings(number))
        with pytest.raises(redis.ConnectionError):
            await case.metrics.storing.once()
    case.store.away = False
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.of(case.one)) == (pings(5), pings(5))
    case.store.bots.clear()
    case.store.fleet = None
    case.tell(case.one, 1, pings(6))
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.of(case.one)) == (pings(6), pings(6)), "a store that lost all gets it anew"


async def test_nothing_is_added_up_before_it_is_known_what_was_there(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    case.begin()
    case.store.away = True
    case.tell(case.one, 1, pings(5), age_s=100)
    with pytest.raises(redis.ConnectionError):
        await case.metrics.storing.once()
    case.store.away = False
    await case.metrics.storing.once()
    assert case.of_fleet() == pings(5)


async def test_a_bot_that_is_removed_leaves_its_counts_to_the_fleet(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    gone = case.members.pop(case.one.bot.id)
    case.metrics.forget(gone.bot.id)
    case.tell(gone, 1, pings(4))
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.store.bots) == (pings(3), {})


async def test_one_that_was_removed_while_no_supervisor_was_there_is_forgotten(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    del case.members[case.one.bot.id]
    case.begin()
    await case.metrics.storing.once()
    assert (case.of_fleet(), case.store.bots) == (pings(3), {})


async def test_counts_that_fall_and_names_of_no_table_change_nothing(case: Case) -> None:
    case.tell(case.one, 1, pings(3))
    await case.metrics.storing.once()
    case.tell(case.one, 1, Counts({"command answered": 1, "evil": 5}, {"EVIL": 7}), evil=3, guilds=2)
    await case.metrics.storing.once()
    assert case.of_fleet() == pings(3)
    assert case.store.bots[case.one.bot.id].cache == {"guilds": 2}


async def test_what_a_bot_keeps_counts_while_it_runs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    running: Any = object()
    case.one.process = running
    case.one.worker = case.one.worker.__class__(generation=1)
    case.tell(case.one, 1, NOTHING, guilds=3, roles=4)
    case.tell(case.two, 1, NOTHING, guilds=5)
    await case.metrics.storing.once()
    fleet = case.store.fleet
    assert fleet is not None
    assert (fleet.cache, fleet.guilds) == ({"guilds": 3, "roles": 4}, {case.one.bot.id: 3})
    case.one.process = None
    await case.metrics.storing.once()
    assert case.store.fleet is not None
    assert case.store.fleet.guilds == {}


async def test_the_mark_is_never_older_than_two_windows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    ages = []
    for step in range(40):
        monkeypatch.setattr(time, "time", lambda step=step: now + step * 60)
        case.tell(case.one, 1, pings(step))
        await case.metrics.storing.once()
        row = case.store.bots[case.one.bot.id]
        ages.append(row.at - row.mark_at)
        assert row.mark.commands.get("command answered", 0) == round((row.mark_at - now) / 60)
    assert max(ages) <= 660
    assert min(ages[10:]) >= 300


async def test_a_store_that_is_away_is_tried_again_and_told_once(case: Case) -> None:
    case.store.away = True
    case.tell(case.one, 1, pings(3))
    running = asyncio.create_task(case.metrics.run())
    try:
        await until(lambda: case.metrics._away, "it has begun")
        case.store.away = False
        await until(lambda: case.store.saves, "it is stored")
        assert case.of_fleet() == pings(3)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_many_reports_leave_others_their_turn(case: Case) -> None:
    members = [Member(a_bot(number)) for number in range(3, 203)]
    case.members |= {member.bot.id: member for member in members}
    for member in members:
        case.tell(member, 1, pings(1))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(others())
    await case.metrics.storing.once()
    beside.cancel()
    assert turns >= 200 // module.AT_ONCE - 1
    assert case.of_fleet() == pings(200)
    assert isinstance(case.store.fleet, FleetMetrics)
    assert all(isinstance(row, BotMetrics) for row in case.store.bots.values())
