"""What bots have in stock: kept by operators, looked at by users."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.tables import bots, stock_items
from flotilla.domain.stock import CHOICES, MAX_ITEMS, PAGE_ITEMS, StockAsked, StockItem, StockPage, folded, page_of
from flotilla.errors import ConflictError, NotFoundError

_KEPT = ("sku", "name", "quantity", "updated_at", "category", "description", "price", "low_at")
_COLUMNS = tuple(stock_items.c[name] for name in _KEPT)


class SqlStock:
    """`StockStore` on SQLite or PostgreSQL, and what operators do with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # What users ask --------------------------------------------------------------------------------------------------

    async def stock_page(self, bot_id: str, wanted: StockAsked) -> StockPage:
        table, which = stock_items, _which(bot_id, wanted)
        categories = (
            sa.select(table.c.category)
            .where(table.c.bot_id == bot_id, table.c.category != "")
            .distinct()
            .order_by(table.c.category)
            .limit(CHOICES - 1)
        )
        async with self._database.read() as connection:
            total = (await connection.execute(sa.select(sa.func.count()).select_from(table).where(*which))).scalar_one()
            page, pages = page_of(wanted.page, total)
            query = sa.select(*_COLUMNS).where(*which).order_by(table.c.name, table.c.sku)
            rows = await connection.execute(query.limit(PAGE_ITEMS).offset((page - 1) * PAGE_ITEMS))
            items = [_item(row) for row in rows]
            found = list((await connection.execute(categories)).scalars())
        return StockPage(items, page, pages, total, found)

    async def search_stock(self, bot_id: str, text: str, limit: int) -> list[StockItem]:
        table, wanted = stock_items, text.strip().casefold()
        begins = sa.case((table.c.folded.startswith(wanted, autoescape=True), 0), else_=1)
        query = (
            sa.select(*_COLUMNS)
            .where(table.c.bot_id == bot_id, table.c.folded.contains(wanted, autoescape=True))
            .order_by(begins, table.c.name, table.c.sku)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [_item(row) for row in await connection.execute(query)]

    async def stock_item(self, bot_id: str, sku: str) -> list[StockItem]:
        async with self._database.read() as connection:
            return [_item(row) for row in await connection.execute(sa.select(*_COLUMNS).where(*_one(bot_id, sku)))]

    # What operators do -----------------------------------------------------------------------------------------------

    async def page(self, bot_id: str, limit: int, cursor: str | None, *, low: bool = False) -> Page[StockItem]:
        """Return up to `limit` items in the order of their skus. low: only those that staff should see to.

        Raises NotFoundError for an unknown bot, FixInputError for a malformed cursor.
        """
        query = sa.select(*_COLUMNS).where(*_which(bot_id, StockAsked(low=low))).order_by(stock_items.c.sku)
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            found = await select_keyset_page(connection, query, limit, cursor)
        return Page([_item(row) for row in found.items], found.next_cursor)

    async def get(self, bot_id: str, sku: str) -> StockItem:
        """Return one item. Raises NotFoundError (`bot_unknown`, `stock_item_unknown`)."""
        async with self._database.read() as connection:
            await _require_bot(connection, bot_id)
            row = (await connection.execute(sa.select(*_COLUMNS).where(*_one(bot_id, sku)))).one_or_none()
        if row is None:
            raise _no_item()
        return _item(row)

    async def put(self, bot_id: str, item: StockItem) -> bool:
        """Store an item in place of the one with its sku; return whether it is new.

        Raises NotFoundError, and ConflictError (`stock_full`) for one more than `MAX_ITEMS`.
        """
        values = {name: getattr(item, name) for name in _KEPT} | {"folded": folded(item)}
        async with self._database.write() as connection:
            await _require_bot(connection, bot_id, lock=True)  # two at once are one after the other
            changed = await connection.execute(stock_items.update().where(*_one(bot_id, item.sku)).values(**values))
            if changed.rowcount:
                return False
            count = sa.select(sa.func.count()).select_from(stock_items).where(stock_items.c.bot_id == bot_id)
            if (await connection.execute(count)).scalar_one() >= MAX_ITEMS:
                raise ConflictError(
                    f"This bot has {MAX_ITEMS} items in stock, which is as many as one can have. Remove some first.",
                    code="stock_full",
                )
            await connection.execute(stock_items.insert().values(bot_id=bot_id, **values))
        return True

    async def remove(self, bot_id: str, sku: str) -> None:
        """Remove an item. Raises NotFoundError (`bot_unknown`, `stock_item_unknown`)."""
        async with self._database.write() as connection:
            await _require_bot(connection, bot_id)
            result = await connection.execute(stock_items.delete().where(*_one(bot_id, sku)))
        if result.rowcount == 0:
            raise _no_item()


def _which(bot_id: str, wanted: StockAsked) -> list[sa.ColumnElement[bool]]:
    which = [stock_items.c.bot_id == bot_id]
    if wanted.category is not None:
        which.append(stock_items.c.category == wanted.category)
    if wanted.low:
        which.append(stock_items.c.quantity <= stock_items.c.low_at)
    return which


def _one(bot_id: str, sku: str) -> tuple[sa.ColumnElement[bool], ...]:
    return stock_items.c.bot_id == bot_id, stock_items.c.sku == sku


async def _require_bot(connection: AsyncConnection, bot_id: str, *, lock: bool = False) -> None:
    query = sa.select(bots.c.id).where(bots.c.id == bot_id, bots.c.deleted_at.is_(None))
    if (await connection.execute(query.with_for_update(key_share=True) if lock else query)).one_or_none() is None:
        raise NotFoundError("There is no bot with this id.", code="bot_unknown")


def _no_item() -> NotFoundError:
    return NotFoundError("This bot has no item with this sku. See: flotilla stock list NAME", code="stock_item_unknown")


def _item(row: sa.Row[Any]) -> StockItem:
    return StockItem(*(getattr(row, name) for name in _KEPT))
