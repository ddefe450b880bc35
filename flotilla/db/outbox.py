"""Stores what happened, and in the same transaction puts it into the queues of the webhooks that want it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.parents import bots_there, is_there
from flotilla.db.tables import bot_tags, bots, happenings, webhook_deliveries, webhooks
from flotilla.domain.clock import FUTURE
from flotilla.domain.happenings import CRITICAL_CODES, DISCORD_CODES, HAPPENINGS_KEPT, KINDS, Happening
from flotilla.domain.webhooks import MAX_PENDING, Delivery, DeliveryState, Places, Webhook, body_of, may_wait
from flotilla.ids import new_id

PENDING = webhook_deliveries.c.state == DeliveryState.PENDING.value


async def record(connection: AsyncConnection, events: Sequence[Happening]) -> None:
    """Store what happened, as `FleetStore.record_happenings` has it, with the deliveries that follow from it."""
    ids = {event.bot_id for event in events if event.bot_id is not None}
    known = await bots_there(connection, ids)
    told = {event.id: event for event in events if event.bot_id is None or event.bot_id in known}
    there = sa.select(happenings.c.id).where(happenings.c.id.in_(told))
    for happening_id in (await connection.execute(there)).scalars().all():
        del told[happening_id]
    if told:
        await connection.execute(happenings.insert(), [asdict(event) for event in told.values()])
        await connection.execute(_superfluous({event.bot_id for event in told.values()}))
        await enqueue(connection, list(told.values()))


def _superfluous(bot_ids: set[str | None]) -> sa.Delete:
    table = happenings
    source = sa.case((table.c.code.in_(sorted(DISCORD_CODES)), 1), else_=0)
    # Those that a clock ahead has dated would stand before all that follow until their time has come.
    ahead = sa.case((table.c.at > datetime.now(UTC) + FUTURE, 1), else_=0)
    order = ahead, table.c.id.desc()
    # So many of one do not push out the few of the other.
    critical = sa.case((table.c.code.in_(sorted(CRITICAL_CODES)), 1), else_=0)
    age = sa.func.row_number().over(partition_by=(table.c.bot_id, source, critical), order_by=order).label("age")
    of_bots = table.c.bot_id.in_([bot_id for bot_id in bot_ids if bot_id is not None])
    wanted = sa.or_(of_bots, table.c.bot_id.is_(None)) if None in bot_ids else of_bots
    ranked = sa.select(table.c.id, age).where(wanted).subquery()
    return table.delete().where(table.c.id.in_(sa.select(ranked.c.id).where(ranked.c.age > HAPPENINGS_KEPT)))


async def enqueue(connection: AsyncConnection, events: Sequence[Happening]) -> None:
    """Make the deliveries of what happened; those that are there already stay as they are.

    A webhook whose queue is full gets none, which it counts.
    """
    found = (await connection.execute(sa.select(webhooks).where(webhooks.c.enabled))).all()
    listening = [
        Webhook(row.id, "", row.created_at, tuple(row.kinds), tuple(row.bots), tuple(row.tags)) for row in found
    ]
    told = [event for event in events if event.code in KINDS]
    if not listening or not told:
        return
    ids = {event.bot_id for event in told if event.bot_id is not None}
    names = dict((await connection.execute(sa.select(bots.c.id, bots.c.name).where(bots.c.id.in_(ids)))).all())
    tags: dict[str | None, set[str]] = defaultdict(set)
    for row in await connection.execute(sa.select(bot_tags).where(bot_tags.c.bot_id.in_(ids))):
        tags[row.bot_id].add(row.tag)
    for webhook in listening:
        wanted = [event for event in told if webhook.wants(event, tags[event.bot_id])]
        if not wanted or not await is_there(connection, webhooks.c.id, webhook.id):
            continue
        places = Places(MAX_PENDING, await _waiting(connection, webhook.id))
        if places.are_few(len(wanted)):
            places.of_bots = {bot_id: await _waiting(connection, webhook.id, bot_id) for bot_id in sorted(ids)}
        fit = may_wait(wanted, places)
        rows = [_delivery(webhook, event, names.get(event.bot_id or "")) for event in fit]
        await insert_deliveries(connection, rows, [event.id for event in fit])
        if len(rows) < len(wanted):
            lost = webhooks.c.dropped + len(wanted) - len(rows)
            await connection.execute(webhooks.update().where(webhooks.c.id == webhook.id).values(dropped=lost))


async def insert_deliveries(
    connection: AsyncConnection, rows: Sequence[Delivery], happenings: Iterable[str | None] | None = None
) -> None:
    """Store deliveries that are not there yet. happenings: ids of what they tell, in the same order."""
    of = [None] * len(rows) if happenings is None else list(happenings)
    values = [
        asdict(row) | {"state": row.state.value, "happening_id": happening_id}
        for row, happening_id in zip(rows, of, strict=False)
    ]
    if values:
        dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
        await connection.execute(dialect.insert(webhook_deliveries).on_conflict_do_nothing(), values)


async def _waiting(connection: AsyncConnection, webhook_id: str, bot_id: str | None = None) -> int:
    """Count the deliveries of a webhook that wait, or those of them that tell of one bot."""
    query = sa.select(sa.func.count()).where(webhook_deliveries.c.webhook_id == webhook_id, PENDING)
    if bot_id is not None:
        query = query.where(webhook_deliveries.c.body.contains(f'"bot_id":"{bot_id}"', autoescape=True))
    return int((await connection.execute(query)).scalar_one())


def _delivery(webhook: Webhook, event: Happening, bot_name: str | None) -> Delivery:
    body = msgspec.json.encode(body_of(event, bot_name)).decode()
    return Delivery(new_id(), webhook.id, event.code, body, event.at, next_at=event.at)
