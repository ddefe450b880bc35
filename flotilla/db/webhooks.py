"""Operators' webhooks and their deliveries: made with what happened, carried on by the jobs program."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.outbox import PENDING, insert_deliveries, record
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.parents import is_there
from flotilla.db.tables import bots, webhook_deliveries, webhooks
from flotilla.domain import webhooks as domain
from flotilla.domain.happenings import Happening
from flotilla.domain.webhooks import GONE, MAX_WEBHOOKS, PAUSE_AFTER, Delivery, DeliveryState, Webhook
from flotilla.errors import ConflictError, FixInputError, NotFoundError
from flotilla.ids import new_id

LEASE_S = 30.0
"""For how long a delivery that is being attempted is nobody else's; six times what an attempt may take."""

_LISTS = ("kinds", "bots", "tags")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is to be attempted now. failures: of its webhook, in a row."""

    delivery: Delivery
    url: str
    secret_encrypted: bytes
    failures: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended. status: of the answer, None if there was none. error: a sentence without secrets."""

    ok: bool
    status: int | None = None
    error: str | None = None


class SqlWebhooks:
    """Both sides, on SQLite or PostgreSQL. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Operators' side -------------------------------------------------------------------------------------------------

    async def add(self, webhook: Webhook, secret_encrypted: bytes) -> None:
        """Store a webhook. Raises ConflictError (`webhooks_too_many`), FixInputError (`webhook_bot_unknown`)."""
        async with self._database.write() as connection:
            await _require_bots(connection, webhook.bots)
            count = (await connection.execute(sa.select(sa.func.count()).select_from(webhooks))).scalar_one()
            if count >= MAX_WEBHOOKS:
                raise ConflictError(
                    f"There are {count} webhooks, and no more are possible. Remove one: flotilla webhooks rm ID",
                    code="webhooks_too_many",
                )
            await connection.execute(webhooks.insert().values(**_row(webhook), secret_encrypted=secret_encrypted))

    async def get(self, webhook_id: str) -> Webhook:
        """Return one. Raises NotFoundError (`webhook_unknown`)."""
        async with self._database.read() as connection:
            return await _get(connection, webhook_id)

    async def page(self, limit: int, cursor: str | None) -> Page[Webhook]:
        """Return up to `limit` webhooks, the oldest first. Raises FixInputError for the cursor."""
        async with self._database.read() as connection:
            page = await select_keyset_page(connection, _webhooks().order_by(webhooks.c.id), limit, cursor)
        return Page([_webhook(row) for row in page.items], page.next_cursor)

    async def change(self, webhook_id: str, values: Mapping[str, Any]) -> Webhook:
        """Change a webhook and return it. Raises NotFoundError, FixInputError (`webhook_bot_unknown`)."""
        changed = domain.changes(values)
        changed = {name: list(value) if name in _LISTS else value for name, value in changed.items()}
        async with self._database.write() as connection:
            await _require_bots(connection, values.get("bots", ()))
            if changed:
                await connection.execute(webhooks.update().where(webhooks.c.id == webhook_id).values(**changed))
            return await _get(connection, webhook_id)

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries. Raises NotFoundError."""
        async with self._database.write() as connection:
            if not (await connection.execute(webhooks.delete().where(webhooks.c.id == webhook_id))).rowcount:
                raise _unknown()

    async def put(self, delivery: Delivery) -> None:
        """Have something delivered that did not happen: a test. Raises NotFoundError."""
        async with self._database.write() as connection:
            if not await is_there(connection, webhooks.c.id, delivery.webhook_id):
                raise _unknown()
            await insert_deliveries(connection, [delivery])

    async def deliveries(self, webhook_id: str, limit: int, cursor: str | None) -> Page[Delivery]:
        """Return up to `limit` deliveries of a webhook, the newest first. Raises NotFoundError, FixInputError."""
        table = webhook_deliveries
        query = sa.select(table).where(table.c.webhook_id == webhook_id).order_by(table.c.id.desc())
        async with self._database.read() as connection:
            await _get(connection, webhook_id)
            page = await select_keyset_page(connection, query, limit, cursor)
        return Page([_delivery(row) for row in page.items], page.next_cursor)

    # The jobs program's side -----------------------------------------------------------------------------------------

    async def claim(self, now: datetime, busy: Mapping[str, int], each: int, limit: int) -> list[Claimed]:
        """Return deliveries that are due, the oldest first, and make them nobody else's for LEASE_S.

        busy: how many of each webhook are under way; each: most of one webhook together with those. A webhook that
        failed PAUSE_AFTER times in a row gets one at a time.
        """
        async with self._database.read() as connection:
            due = (await connection.execute(_due(now, each))).all()
        room = dict(busy)
        chosen: dict[str, Claimed] = {}
        for row in due:
            most = 1 if row.failures >= PAUSE_AFTER else each
            if room.get(row.webhook_id, 0) < most and len(chosen) < limit:
                room[row.webhook_id] = room.get(row.webhook_id, 0) + 1
                chosen[row.id] = Claimed(_delivery(row), row.url, bytes(row.secret_encrypted), row.failures)
        if not chosen:
            return []
        table = webhook_deliveries
        claim = (
            table.update()
            .where(table.c.id.in_(chosen), PENDING, _has_come(table.c.next_at, now))  # unless another was quicker
            .values(next_at=now + timedelta(seconds=LEASE_S), attempts=table.c.attempts + 1)
            .returning(table.c.id)
        )
        async with self._database.write() as connection:
            mine = set((await connection.execute(claim)).scalars())
        return [claimed for delivery_id, claimed in chosen.items() if delivery_id in mine]

    async def finish(self, claimed: Claimed, attempt: Attempt, now: datetime, u: float, give_up: timedelta) -> None:
        """Store how an attempt ended, and what follows for its webhook.

        u: uniform draw in [0, 1), for the pause. give_up: for how long it is tried.
        """
        table, delivery = webhook_deliveries, claimed.delivery
        seen = {"last_status": attempt.status, "last_error": attempt.error}
        async with self._database.write() as connection:
            found = (await connection.execute(_of(delivery.webhook_id).with_for_update(key_share=True))).one_or_none()
            if found is None:
                return  # removed meanwhile, with its deliveries
            this = table.update().where(table.c.id == delivery.id, PENDING)
            if attempt.ok:
                done = {"state": DeliveryState.DELIVERED.value, "finished_at": now}
                await connection.execute(this.values(**seen, **done))
                well = {"failures": 0, "failing_since": None, "retry_at": None}
                await connection.execute(_change(delivery.webhook_id, **seen, **well, last_at=now))
                return
            pause = timedelta(seconds=domain.retry_after_s(delivery.attempts + 1, u))
            over = now - delivery.created_at >= give_up
            ended = {"state": DeliveryState.DROPPED.value, "finished_at": now} if over else {"next_at": now + pause}
            await connection.execute(this.values(**seen, **ended))
            await self._failed(connection, _webhook(found), attempt, now, u, give_up)

    async def forget(self, now: datetime, batch: int) -> int:
        """Remove up to `batch` deliveries that ended more than KEPT ago, or wait for twice as long."""
        table = webhook_deliveries
        ended = sa.and_(sa.not_(PENDING), table.c.finished_at < now - domain.KEPT)
        waited = sa.and_(PENDING, table.c.created_at < now - 2 * domain.KEPT)
        old = sa.select(table.c.id).where(sa.or_(ended, waited)).limit(batch)
        async with self._database.write() as connection:
            return int((await connection.execute(table.delete().where(table.c.id.in_(old)))).rowcount)

    async def _failed(
        self,
        connection: AsyncConnection,
        webhook: Webhook,
        attempt: Attempt,
        now: datetime,
        u: float,
        give_up: timedelta,
    ) -> None:
        failures, since = webhook.failures + 1, webhook.failing_since or now
        changed: dict[str, Any] = {"failures": failures, "failing_since": since, "last_at": now}
        changed |= {"last_status": attempt.status, "last_error": attempt.error}
        if failures >= PAUSE_AFTER:
            changed["retry_at"] = now + timedelta(seconds=domain.retry_after_s(failures - PAUSE_AFTER + 1, u))
        why = None
        if attempt.status == GONE:
            why = "Its receiver answered 410 Gone: it wants nothing any more."
        elif now - since >= give_up:
            why = f"It failed for {give_up.total_seconds() / 86_400:g} days: {attempt.error}"
        if why is None or not webhook.enabled:
            await connection.execute(_change(webhook.id, **changed))
            return
        await connection.execute(_change(webhook.id, **changed, enabled=False, why_disabled=why[:200]))
        table = webhook_deliveries
        drop = table.update().where(table.c.webhook_id == webhook.id, PENDING)
        await connection.execute(drop.values(state=DeliveryState.DROPPED.value, finished_at=now))
        detail = {"webhook_id": webhook.id, "why": why[:200]}
        await record(connection, [Happening(new_id(now), None, now, "webhook_disabled", detail)])


def _due(now: datetime, each: int) -> sa.Select[Any]:
    """Select what is due, at most `each` of one webhook, so that a long queue does not stand before the others."""
    table = webhook_deliveries
    rank = sa.func.row_number().over(partition_by=table.c.webhook_id, order_by=(table.c.next_at, table.c.id))
    open_now = sa.or_(webhooks.c.retry_at.is_(None), _has_come(webhooks.c.retry_at, now))
    due = (
        sa.select(table, webhooks.c.url, webhooks.c.secret_encrypted, webhooks.c.failures, rank.label("rank"))
        .join(webhooks)
        .where(PENDING, _has_come(table.c.next_at, now), webhooks.c.enabled, open_now)
        .subquery()
    )
    return sa.select(due).where(due.c.rank <= each).order_by(due.c.next_at)


def _has_come(at: sa.Column[Any], now: datetime) -> sa.ColumnElement[bool]:
    """Return whether the time to try again has come; one further off than any pause was made by a clock ahead."""
    return sa.or_(at <= now, at > now + timedelta(seconds=2 * domain.RETRY_CAP_S))


def _webhooks() -> sa.Select[Any]:
    return sa.select(*(column for column in webhooks.c if column.name != "secret_encrypted"))


def _of(webhook_id: str) -> sa.Select[Any]:
    return _webhooks().where(webhooks.c.id == webhook_id)


def _change(webhook_id: str, **values: object) -> sa.Update:
    return webhooks.update().where(webhooks.c.id == webhook_id).values(**values)


async def _get(connection: AsyncConnection, webhook_id: str) -> Webhook:
    row = (await connection.execute(_of(webhook_id))).one_or_none()
    if row is None:
        raise _unknown()
    return _webhook(row)


async def _require_bots(connection: AsyncConnection, ids: Sequence[str]) -> None:
    known = set((await connection.execute(sa.select(bots.c.id).where(bots.c.id.in_(ids)))).scalars()) if ids else set()
    missing = next((bot_id for bot_id in ids if bot_id not in known), None)
    if missing is not None:
        raise FixInputError(f"There is no bot with the id {missing!r}.", code="webhook_bot_unknown")


def _unknown() -> NotFoundError:
    return NotFoundError("There is no webhook with this id. See: flotilla webhooks ls", code="webhook_unknown")


def _row(webhook: Webhook) -> dict[str, Any]:
    return asdict(webhook) | {name: list(getattr(webhook, name)) for name in _LISTS}


def _webhook(row: sa.Row[Any]) -> Webhook:
    values = {name: getattr(row, name) for name in Webhook.__slots__}
    return Webhook(**values | {name: tuple(values[name]) for name in _LISTS})


def _delivery(row: sa.Row[Any]) -> Delivery:
    values = {name: getattr(row, name) for name in Delivery.__slots__}
    return Delivery(**values | {"state": DeliveryState(row.state)})
