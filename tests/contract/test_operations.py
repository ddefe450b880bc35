"""SqlOperations on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.operations import SqlOperations
from flotilla.domain.bots import Bot, BotStatus, Desired
from flotilla.domain.operations import Item, ItemState, Operation, OperationState, Selector, Strategy
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, NotFoundError
from tests.builders import T0, a_bot, an_operation


class Scene:
    """A fleet, an operation on all of it, and a supervisor that does as it is told."""

    def __init__(self, database: Database) -> None:
        self.bots = SqlBots(database)
        self.fleet = SqlFleetStore(database)
        self.operations = SqlOperations(database)

    async def add_bots(self, number: int, **changes: Desired) -> list[Bot]:
        rows = [a_bot(index, **changes) for index in range(number)]
        for bot in rows:
            await self.bots.add(bot, b"")
        return rows

    async def begin(self, rows: Sequence[Bot], strategy: Strategy | None = None) -> Operation:
        operation = an_operation(strategy=strategy or Strategy())
        await self.operations.add(operation, [Item(bot.id, bot.name) for bot in rows])
        return operation

    async def supervise(self, state: State = State.RUNNING, *, reason: str | None = None) -> None:
        """Bring every bot to `state` for the newest epoch that is asked of it."""
        statuses = [
            BotStatus(row.bot.id, state, state is State.RUNNING, reason, epoch=row.bot.desired_epoch)
            for row in await self.fleet.fleet()
        ]
        await self.fleet.save(statuses, [])

    async def items(self, operation: Operation) -> list[Item]:
        return list((await self.operations.items(operation.id, 200, None)).items)


@pytest.fixture
def scene(database: Database) -> Scene:
    return Scene(database)


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


async def test_operation_comes_back_as_it_was_added(scene: Scene) -> None:
    rows = await scene.add_bots(2)
    operation = an_operation(
        selector=Selector(names=("bot-0000",), tags=("x",), states=(State.FATAL,)), strategy=Strategy(3, 9.5, 2)
    )
    await scene.operations.add(operation, [Item(bot.id, bot.name) for bot in rows])
    stored = await scene.operations.get(operation.id)
    assert (stored.selector, stored.strategy) == (operation.selector, operation.strategy)
    assert stored.counts == {ItemState.PENDING: 2}
    assert await scene.operations.unfinished() == [operation.id]


async def test_batches_begin_as_earlier_ones_are_ready(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(5), Strategy(batch_size=2))
    for expected in (2, 4):
        moved = await scene.operations.advance(operation.id, later(1))
        assert moved.counts[ItemState.RUNNING] == 2
        assert moved.counts.get(ItemState.SUCCEEDED, 0) == expected - 2
        await scene.supervise()
    assert (await scene.operations.advance(operation.id, later(2))).counts[ItemState.RUNNING] == 1
    await scene.supervise()
    done = await scene.operations.advance(operation.id, later(3))
    assert (done.state, done.counts, done.finished_at) == (
        OperationState.SUCCEEDED,
        {ItemState.SUCCEEDED: 5},
        later(3),
    )
    assert await scene.operations.unfinished() == []


async def test_advance_is_idempotent(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(3))
    first = await scene.operations.advance(operation.id, later(1))
    assert await scene.operations.advance(operation.id, later(2)) == first
    assert {row.bot.desired_epoch for row in await scene.fleet.fleet()} == {1}
    await scene.supervise()
    done = await scene.operations.advance(operation.id, later(3))
    assert await scene.operations.advance(operation.id, later(4)) == done


async def test_two_that_advance_at_once_ask_for_each_restart_once(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(8), Strategy(batch_size=4))
    for _ in range(2):
        await asyncio.gather(*(scene.operations.advance(operation.id, later(1)) for _ in range(4)))
        await scene.supervise()
    assert {row.bot.desired_epoch for row in await scene.fleet.fleet()} == {1}
    assert (await scene.operations.advance(operation.id, later(2))).state is OperationState.SUCCEEDED


async def test_stopped_and_removed_bots_are_skipped(scene: Scene) -> None:
    running, stopped, removed = await scene.add_bots(3)
    await scene.bots.want(stopped.id, Desired.STOPPED)
    await scene.bots.remove(removed.id, T0)
    operation = await scene.begin([running, stopped, removed])
    moved = await scene.operations.advance(operation.id, later(1))
    assert moved.counts == {ItemState.RUNNING: 1, ItemState.SKIPPED: 2}
    assert [item.detail is not None for item in await scene.items(operation)] == [False, True, True]


async def test_skipped_bots_take_no_room_in_a_batch(scene: Scene) -> None:
    rows = await scene.add_bots(3)
    await scene.bots.want(rows[0].id, Desired.STOPPED)
    operation = await scene.begin(rows, Strategy(batch_size=2))
    moved = await scene.operations.advance(operation.id, later(1))
    assert moved.counts == {ItemState.RUNNING: 2, ItemState.SKIPPED: 1}


async def test_bot_dropped_while_it_restarts_is_skipped(scene: Scene) -> None:
    (bot,) = await scene.add_bots(1)
    operation = await scene.begin([bot])
    await scene.operations.advance(operation.id, later(1))
    await scene.bots.remove(bot.id, T0)
    await scene.fleet.drop([bot.id])
    done = await scene.operations.advance(operation.id, later(2))
    assert (done.state, done.counts) == (OperationState.SUCCEEDED, {ItemState.SKIPPED: 1})


@pytest.mark.parametrize("removed", [False, True])
async def test_bot_stopped_or_marked_for_removal_while_it_restarts_is_skipped_and_not_waited_for(
    scene: Scene, *, removed: bool
) -> None:
    rows = await scene.add_bots(2)
    operation = await scene.begin(rows)
    await scene.operations.advance(operation.id, later(1))
    if removed:
        await scene.bots.remove(rows[0].id, later(2))
    else:
        await scene.bots.want(rows[0].id, Desired.STOPPED)
    await scene.supervise(State.STARTING)
    moved = await scene.operations.advance(operation.id, later(3))
    assert moved.counts == {ItemState.SKIPPED: 1, ItemState.RUNNING: 1}
    await scene.supervise()
    assert (await scene.operations.advance(operation.id, later(4))).state is OperationState.SUCCEEDED


async def test_fatal_bot_fails_its_item_with_the_remedy(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(1))
    await scene.operations.advance(operation.id, later(1))
    await scene.supervise(State.FATAL, reason="token_refused")
    done = await scene.operations.advance(operation.id, later(2))
    (item,) = await scene.items(operation)
    assert done.state is OperationState.FAILED
    assert item.detail is not None
    assert "token refused" in item.detail


async def test_slow_bot_fails_its_item_after_the_item_timeout(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(1), Strategy(item_timeout_s=30))
    await scene.operations.advance(operation.id, later(0))
    assert (await scene.operations.advance(operation.id, later(29))).state is OperationState.RUNNING
    assert (await scene.operations.advance(operation.id, later(30))).state is OperationState.FAILED


async def test_operation_stops_at_its_failure_limit_and_leaves_the_rest(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(4), Strategy(batch_size=1, max_failures=1))
    await scene.operations.advance(operation.id, later(1))
    await scene.supervise(State.FATAL, reason="crash_loop")
    done = await scene.operations.advance(operation.id, later(2))
    assert (done.state, done.counts) == (OperationState.FAILED, {ItemState.FAILED: 1, ItemState.PENDING: 3})
    assert done.detail == "Stopped after 1 failures; the rest was left alone."
    assert sum(row.bot.desired_epoch for row in await scene.fleet.fleet()) == 1


async def test_operation_without_items_succeeds_at_once(scene: Scene) -> None:
    operation = await scene.begin([])
    assert (await scene.operations.advance(operation.id, later(1))).state is OperationState.SUCCEEDED


async def test_cancel_begins_nothing_more(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(3), Strategy(batch_size=1))
    await scene.operations.advance(operation.id, later(1))
    cancelled = await scene.operations.cancel(operation.id, later(2))
    assert (cancelled.state, cancelled.counts) == (OperationState.CANCELLED, {ItemState.CANCELLED: 3})
    assert (await scene.operations.advance(operation.id, later(3))).state is OperationState.CANCELLED
    assert sum(row.bot.desired_epoch for row in await scene.fleet.fleet()) == 1
    with pytest.raises(ConflictError) as raised:
        await scene.operations.cancel(operation.id, later(4))
    assert raised.value.code == "operation_finished"


async def test_cancel_and_advance_at_once_end_in_cancelled(scene: Scene) -> None:
    operation = await scene.begin(await scene.add_bots(4))
    await asyncio.gather(
        *(scene.operations.advance(operation.id, later(1)) for _ in range(3)),
        scene.operations.cancel(operation.id, later(1)),
    )
    assert (await scene.operations.get(operation.id)).state is OperationState.CANCELLED
    assert {item.state for item in await scene.items(operation)} == {ItemState.CANCELLED}


async def test_unknown_operation_is_not_found(scene: Scene) -> None:
    calls = (
        scene.operations.get("x"),
        scene.operations.items("x", 1, None),
        scene.operations.advance("x", T0),
        scene.operations.cancel("x", T0),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as raised:
            await call
        assert raised.value.code == "operation_unknown"


async def test_operations_are_paged_newest_first(scene: Scene) -> None:
    ids = []
    for number in range(5):
        operation = an_operation(id=f"{number:026d}")
        await scene.operations.add(operation, [])
        ids.append(operation.id)
    first = await scene.operations.page(3, None)
    second = await scene.operations.page(3, first.next_cursor)
    assert [operation.id for operation in (*first.items, *second.items)] == ids[::-1]
    assert second.next_cursor is None
    assert await scene.operations.unfinished() == ids


async def test_items_are_paged_in_the_order_of_names(scene: Scene) -> None:
    rows = await scene.add_bots(5)
    operation = await scene.begin(rows[::-1])
    first = await scene.operations.items(operation.id, 3, None)
    second = await scene.operations.items(operation.id, 3, first.next_cursor)
    assert [item.bot_name for item in (*first.items, *second.items)] == [bot.name for bot in rows]
    assert second.next_cursor is None


async def test_what_ended_long_ago_is_forgotten_items_first_and_what_is_open_never(scene: Scene) -> None:
    rows = await scene.add_bots(3)
    ended = [await scene.begin(rows) for _ in range(2)]
    recent, running = await scene.begin(rows), await scene.begin(rows)
    for number, operation in enumerate([*ended, recent]):
        await scene.operations.cancel(operation.id, later(number))
    await scene.operations.advance(running.id, later(0))
    before = later(2)
    gone: list[int] = []
    while not gone or gone[-1]:
        gone.append(await scene.operations.forget(before, 4))
    assert gone == [4, 4, 0]
    left = await scene.operations.page(10, None)
    assert [operation.id for operation in left.items] == sorted([recent.id, running.id], reverse=True)
    assert len(await scene.items(recent)) == len(await scene.items(running)) == 3
    assert await scene.operations.forget(later(10**9), 100) == 4
    assert [operation.id for operation in (await scene.operations.page(10, None)).items] == [running.id]
