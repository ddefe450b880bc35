"""RolloverStore and what the API asks of it: on SQLite, on PostgreSQL, and the fake that other tests use."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.rollovers import SqlRollovers
from flotilla.domain.bots import BotStatus
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus
from flotilla.errors import ConflictError, NotFoundError, RetryError
from flotilla.ports import RolloverStore
from tests.builders import T0, a_bot
from tests.contract.conftest import BOTH
from tests.fakes.rollovers import MemoryRollovers


def a_request(number: int = 1) -> RolloverRequest:
    return RolloverRequest(f"{number:026d}", "somebody", T0)


@dataclass(frozen=True)
class Case:
    """A store, and the other side of it: what the API does."""

    store: RolloverStore
    request: Callable[[RolloverRequest], Awaitable[object]]
    note_server: Callable[[int], Awaitable[None]]


def memory_case() -> Case:
    store = MemoryRollovers()

    async def request(asked: RolloverRequest) -> None:
        store.put(asked)

    async def note_server(number: int) -> None:
        store.servers.append(number)

    return Case(store, request, note_server)


def sql_case(database: Database) -> Case:
    async def note_server(number: int) -> None:
        bot = a_bot(number)
        await SqlBots(database).add(bot, b"")
        await SqlFleetStore(database).save([BotStatus(bot.id, fork_server=number)], [])

    store = SqlRollovers(database)
    return Case(store, store.request, note_server)


@pytest.fixture(params=["memory", *BOTH])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return memory_case()
    return sql_case(request.getfixturevalue(f"{request.param}_database"))


async def test_what_was_asked_for_is_pending_until_the_supervisor_reports(case: Case) -> None:
    assert await case.store.unfinished() is None
    await case.request(a_request())
    found = await case.store.unfinished()
    assert found is not None
    assert (found.request, found.status) == (a_request(), RolloverStatus(a_request().id, Phase.PENDING))


async def test_the_last_report_holds_as_it_was_saved(case: Case) -> None:
    await case.request(a_request())
    later = T0 + timedelta(seconds=1.5)
    first = RolloverStatus(a_request().id, Phase.WARMING, started_at=T0)
    second = replace(
        first, phase=Phase.ROLLING_BACK, wave=3, old_server=4, new_server=5, total=9, moved=2, moving=1, reason="why"
    )
    for status in (first, replace(second, details="Traceback …", finished_at=later)):
        await case.store.save(status)
    found = await case.store.unfinished()
    assert found is not None
    assert found.status == replace(second, details="Traceback …", finished_at=later)


@pytest.mark.parametrize("phase", list(Phase))
async def test_a_finished_one_is_not_taken_up_again(case: Case, phase: Phase) -> None:
    await case.request(a_request())
    await case.store.save(RolloverStatus(a_request().id, phase))
    assert (await case.store.unfinished() is None) == (phase in FINISHED)


async def test_a_report_on_one_that_is_gone_is_passed_over(case: Case) -> None:
    await case.store.save(RolloverStatus("no such", Phase.DONE))
    assert await case.store.unfinished() is None


async def test_numbers_of_fork_servers_go_on_from_the_highest_that_was(case: Case) -> None:
    assert await case.store.last_server() == 0
    await case.note_server(3)
    assert await case.store.last_server() == 3
    await case.request(a_request())
    await case.store.save(RolloverStatus(a_request().id, Phase.DONE, new_server=7))
    assert await case.store.last_server() == 7


async def test_a_database_that_is_away_raises_what_can_be_retried(sqlite_gone: Database) -> None:
    memory = MemoryRollovers()
    memory.away = True
    stores: tuple[RolloverStore, ...] = (memory, SqlRollovers(sqlite_gone))
    for store in stores:
        for call in (store.unfinished(), store.save(RolloverStatus("x", Phase.DONE)), store.last_server()):
            with pytest.raises(RetryError):
                await call


# What the API asks ---------------------------------------------------------------------------------------------------


async def test_there_is_one_at_a_time(database: Database) -> None:
    store = SqlRollovers(database)
    await store.request(a_request(1))
    with pytest.raises(ConflictError) as raised:
        await store.request(a_request(2))
    assert raised.value.code == "rollover_under_way"
    assert a_request(1).id in raised.value.message
    await store.save(RolloverStatus(a_request(1).id, Phase.ROLLED_BACK))
    assert (await store.request(a_request(2))).status.phase is Phase.PENDING


async def test_of_many_that_ask_at_once_one_is_heard(database: Database) -> None:
    store = SqlRollovers(database)
    asked = await asyncio.gather(*(store.request(a_request(n)) for n in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, ConflictError) for answer in asked) == 4
    assert len((await store.page(10, None)).items) == 1


async def test_they_are_paged_newest_first(database: Database) -> None:
    store = SqlRollovers(database)
    for number in range(5):
        await store.request(a_request(number))
        await store.save(RolloverStatus(a_request(number).id, Phase.DONE, total=number))
    first = await store.page(3, None)
    second = await store.page(3, first.next_cursor)
    assert [view.status.total for view in (*first.items, *second.items)] == [4, 3, 2, 1, 0]
    assert second.next_cursor is None


async def test_one_that_nobody_asked_for_is_not_found(database: Database) -> None:
    with pytest.raises(NotFoundError) as raised:
        await SqlRollovers(database).get("no such")
    assert raised.value.code == "rollover_unknown"


async def test_what_ended_long_ago_is_forgotten_and_the_highest_fork_server_is_not(database: Database) -> None:
    store = SqlRollovers(database)
    phases = [Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED, Phase.DONE, Phase.INTERRUPTED]
    for number, phase in enumerate(phases, 1):
        await store.request(a_request(number))
        server = None if phase is Phase.FAILED else 10 - number
        ended = None if phase is Phase.INTERRUPTED else T0 + timedelta(days=number)
        await store.save(RolloverStatus(a_request(number).id, phase, new_server=server, finished_at=ended))
    await store.request(a_request(6))

    async def left() -> list[int]:
        return sorted(int(view.request.id) for view in (await store.page(50, None)).items)

    assert await store.last_server() == 9
    assert await store.forget(T0, 50) == 0
    assert await store.forget(T0 + timedelta(days=4), 1) == 1
    assert await store.forget(T0 + timedelta(days=4), 50) == 2
    assert await left() == [1, 4, 6]
    assert await store.forget(T0 + timedelta(days=4000), 50) == 1
    assert await left() == [1, 6]
    assert await store.last_server() == 9
