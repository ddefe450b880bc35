"""Operations and their items. Every step is one transaction, so a job that dies in the middle loses nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.rows import bots_with_status, status_of
from flotilla.db.tables import bots, operation_items, operations
from flotilla.domain.bots import Desired
from flotilla.domain.operations import (
    FINISHED,
    OPEN_ITEMS,
    Item,
    ItemState,
    Kind,
    Operation,
    OperationState,
    Selector,
    Strategy,
    judge_item,
    may_begin,
    outcome,
)
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, NotFoundError

_FINISHED = [state.value for state in FINISHED]


class SqlOperations:
    """Bulk operations on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, operation: Operation, items: Sequence[Item]) -> None:
        """Store a new operation with one item per bot."""
        async with self._database.write() as connection:
            await connection.execute(operations.insert().values(**_operation_values(operation)))
            if items:
                rows = [{"operation_id": operation.id, **asdict(item)} for item in items]
                await connection.execute(operation_items.insert(), rows)

    async def get(self, operation_id: str) -> Operation:
        """Return one operation with its counts. Raises NotFoundError."""
        async with self._database.read() as connection:
            return await _get(connection, operation_id)

    async def page(self, limit: int, cursor: str | None) -> Page[Operation]:
        """Return up to `limit` operations, newest first."""
        async with self._database.read() as connection:
            rows = await select_keyset_page(
                connection, sa.select(operations).order_by(operations.c.id.desc()), limit, cursor
            )
            counts = await _counts(connection, [row.id for row in rows.items])
        return Page([_operation(row, counts.get(row.id, {})) for row in rows.items], rows.next_cursor)

    async def items(self, operation_id: str, limit: int, cursor: str | None) -> Page[Item]:
        """Return up to `limit` items of an operation in the order of the bots' names. Raises NotFoundError."""
        query = (
            sa.select(operation_items)
            .where(operation_items.c.operation_id == operation_id)
            .order_by(operation_items.c.bot_name, operation_items.c.bot_id)
        )
        async with self._database.read() as connection:
            await _get(connection, operation_id)
            rows = await select_keyset_page(connection, query, limit, cursor)
        return Page([_item(row) for row in rows.items], rows.next_cursor)

    async def unfinished(self) -> list[str]:
        """Return the ids of the operations that are not finished, oldest first."""
        query = sa.select(operations.c.id).where(operations.c.state.not_in(_FINISHED)).order_by(operations.c.id)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def advance(self, operation_id: str, now: datetime) -> Operation:
        """Judge what is running, begin what may begin, finish what is finished; idempotent. now: aware UTC.

        Raises NotFoundError.
        """
        async with self._database.write() as connection:
            operation = await _get(connection, operation_id, lock=True)
            if operation.state in FINISHED:
                return operation
            items = await _judge_running(connection, operation, now)
            items = await _begin(connection, operation, items, now)
            state, detail = outcome(items, operation.strategy)
            finished_at = now if state in FINISHED else None
            await connection.execute(
                operations.update()
                .where(operations.c.id == operation_id)
                .values(state=state.value, detail=detail, finished_at=finished_at)
            )
            return await _get(connection, operation_id)

    async def cancel(self, operation_id: str, now: datetime) -> Operation:
        """Begin no more items; those in motion are left to finish by themselves.

        Raises NotFoundError, and ConflictError (`operation_finished`) if there is nothing left to cancel.
        """
        async with self._database.write() as connection:
            operation = await _get(connection, operation_id, lock=True)
            if operation.state in FINISHED:
                raise ConflictError(
                    f"Operation {operation_id} has already {operation.state}.", code="operation_finished"
                )
            open_states = [state.value for state in OPEN_ITEMS]
            await connection.execute(
                operation_items.update()
                .where(operation_items.c.operation_id == operation_id, operation_items.c.state.in_(open_states))
                .values(state=ItemState.CANCELLED.value, finished_at=now)
            )
            await connection.execute(
                operations.update()
                .where(operations.c.id == operation_id)
                .values(state=OperationState.CANCELLED.value, finished_at=now)
            )
            return await _get(connection, operation_id)

    async def forget(self, before: datetime, batch: int) -> int:
        """Remove up to `batch` rows of operations that were finished before `before`: items first, then themselves.

        Return how many. What is not finished stays, however old it is.
        """
        old = sa.select(operations.c.id).where(operations.c.state.in_(_FINISHED), operations.c.finished_at < before)
        key = sa.tuple_(operation_items.c.operation_id, operation_items.c.bot_id)
        items = sa.select(operation_items.c.operation_id, operation_items.c.bot_id)
        items = items.where(operation_items.c.operation_id.in_(old)).limit(batch)
        async with self._database.write() as connection:
            gone = int((await connection.execute(operation_items.delete().where(key.in_(items)))).rowcount)
            if gone < batch:
                empty = old.order_by(operations.c.id).limit(batch - gone)
                gone += int((await connection.execute(operations.delete().where(operations.c.id.in_(empty)))).rowcount)
        return gone


async def _judge_running(connection: AsyncConnection, operation: Operation, now: datetime) -> list[Item]:
    items = await _all_items(connection, operation.id)
    running = [item.bot_id for item in items if item.state is ItemState.RUNNING]
    query = bots_with_status().where(bots.c.id.in_(running))
    rows = {row.id: row for row in await connection.execute(query)} if running else {}
    judged: list[Item] = []
    for item in items:
        if item.state is not ItemState.RUNNING:
            judged.append(item)
            continue
        detail: str | None
        row = rows.get(item.bot_id)
        if row is None:
            state, detail = ItemState.SKIPPED, "The bot was removed."
        else:
            wanted = row.deleted_at is None and row.desired == Desired.RUNNING.value
            state, detail = judge_item(item, status_of(row), now, operation.strategy, wanted=wanted)
        judged.append(await _move(connection, operation.id, item, now, state=state, detail=detail))
    return judged


async def _begin(connection: AsyncConnection, operation: Operation, items: list[Item], now: datetime) -> list[Item]:
    room = may_begin(items, operation.strategy)
    begun: list[Item] = []
    for item in items:
        if item.state is not ItemState.PENDING or room == 0:
            begun.append(item)
            continue
        moved = await _begin_restart(connection, operation.id, item, now)
        room -= moved.state is ItemState.RUNNING
        begun.append(moved)
    return begun


async def _begin_restart(connection: AsyncConnection, operation_id: str, item: Item, now: datetime) -> Item:
    wanted = (
        bots.c.id == item.bot_id,
        bots.c.deleted_at.is_(None),
        bots.c.desired == Desired.RUNNING.value,
    )
    target = (
        await connection.execute(
            bots.update().where(*wanted).values(desired_epoch=bots.c.desired_epoch + 1).returning(bots.c.desired_epoch)
        )
    ).scalar_one_or_none()
    if target is None:
        return await _move(
            connection, operation_id, item, now, state=ItemState.SKIPPED, detail="The bot is stopped, or was removed."
        )
    return await _move(connection, operation_id, item, now, state=ItemState.RUNNING, detail=None, target_epoch=target)


async def _move(
    connection: AsyncConnection,
    operation_id: str,
    item: Item,
    now: datetime,
    *,
    state: ItemState,
    detail: str | None,
    target_epoch: int | None = None,
) -> Item:
    if state is item.state:
        return item
    begins = state is ItemState.RUNNING
    moved = Item(
        item.bot_id,
        item.bot_name,
        state,
        detail,
        target_epoch if begins else item.target_epoch,
        now if begins else item.started_at,
        None if begins else now,
    )
    await connection.execute(
        operation_items.update()
        .where(operation_items.c.operation_id == operation_id, operation_items.c.bot_id == item.bot_id)
        .values(**asdict(moved))
    )
    return moved


async def _get(connection: AsyncConnection, operation_id: str, *, lock: bool = False) -> Operation:
    query = sa.select(operations).where(operations.c.id == operation_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFoundError("There is no operation with this id.", code="operation_unknown")
    return _operation(row, (await _counts(connection, [operation_id])).get(operation_id, {}))


async def _counts(connection: AsyncConnection, ids: list[str]) -> dict[str, dict[ItemState, int]]:
    query = (
        sa.select(operation_items.c.operation_id, operation_items.c.state, sa.func.count().label("number"))
        .where(operation_items.c.operation_id.in_(ids))
        .group_by(operation_items.c.operation_id, operation_items.c.state)
    )
    counts: dict[str, dict[ItemState, int]] = {}
    for row in await connection.execute(query):
        counts.setdefault(row.operation_id, {})[ItemState(row.state)] = row.number
    return counts


async def _all_items(connection: AsyncConnection, operation_id: str) -> list[Item]:
    query = (
        sa.select(operation_items)
        .where(operation_items.c.operation_id == operation_id)
        .order_by(operation_items.c.bot_name, operation_items.c.bot_id)
    )
    return [_item(row) for row in await connection.execute(query)]


def _operation_values(operation: Operation) -> dict[str, Any]:
    selector = asdict(operation.selector)
    return {
        "id": operation.id,
        "kind": operation.kind.value,
        "selector": selector,
        "strategy": asdict(operation.strategy),
        "state": operation.state.value,
        "detail": operation.detail,
        "requested_by": operation.requested_by,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
    }


def _operation(row: sa.Row[Any], counts: dict[ItemState, int]) -> Operation:
    selector = row.selector
    return Operation(
        row.id,
        Kind(row.kind),
        Selector(
            tuple(selector["ids"]),
            tuple(selector["names"]),
            tuple(selector["tags"]),
            tuple(State(state) for state in selector["states"]),
            selector["everything"],
        ),
        Strategy(**row.strategy),
        OperationState(row.state),
        row.requested_by,
        row.created_at,
        row.finished_at,
        row.detail,
        counts,
    )


def _item(row: sa.Row[Any]) -> Item:
    return Item(
        row.bot_id,
        row.bot_name,
        ItemState(row.state),
        row.detail,
        row.target_epoch,
        row.started_at,
        row.finished_at,
    )
