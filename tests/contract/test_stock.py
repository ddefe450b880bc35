"""Stock on SQLite and PostgreSQL, and the fake that the supervisor's tests use."""

import asyncio
from datetime import timedelta

import pytest
from msgspec import structs
from sqlalchemy.exc import IntegrityError

from flotilla.db import stock as module
from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.stock import SqlStock
from flotilla.domain.stock import CHOICES, PAGE_ITEMS, StockAsked, StockItem
from flotilla.errors import ConflictError, FixInputError, NotFoundError, RetryError
from flotilla.ports import StockStore
from tests.builders import T0, a_bot
from tests.fakes.stock import MemoryStock

ONE, TWO = a_bot(1), a_bot(2)
EMPTY = StockAsked()


def an_item(number: int, **fields: object) -> StockItem:
    return structs.replace(StockItem(f"SKU-{number:03}", f"Item {number:03}", number, T0), **fields)


@pytest.fixture
async def stock(database: Database) -> SqlStock:
    for bot in (ONE, TWO):
        await SqlBots(database).add(bot, b"")
    return SqlStock(database)


@pytest.fixture(params=["real", "fake"])
def pair(request: pytest.FixtureRequest, stock: SqlStock) -> tuple[StockStore, SqlStock | MemoryStock]:
    """A store as the supervisor sees it, and where its items are put."""
    fake = MemoryStock()
    return (stock, stock) if request.param == "real" else (fake, fake)


async def fill(store: SqlStock | MemoryStock, bot_id: str, *items: StockItem) -> None:
    for item in items:
        if isinstance(store, MemoryStock):
            store.put(bot_id, item)
        else:
            await store.put(bot_id, item)


async def test_pages_of_both_are_by_name_and_never_beyond_the_last(
    pair: tuple[StockStore, SqlStock | MemoryStock],
) -> None:
    store, place = pair
    assert (await store.stock_page(ONE.id, StockAsked(7))).items == []
    items = [an_item(number, category="dark" if number % 2 else "") for number in range(2 * PAGE_ITEMS + 1)]
    await fill(place, ONE.id, *reversed(items))
    await fill(place, TWO.id, an_item(99))
    first, last = [await store.stock_page(ONE.id, StockAsked(page)) for page in (1, 99)]
    assert (first.items, first.page, first.pages, first.total) == (items[:PAGE_ITEMS], 1, 3, len(items))
    assert (last.items, last.page, last.categories) == ([items[-1]], 3, ["dark"])
    dark = await store.stock_page(ONE.id, StockAsked(category="dark"))
    assert [item.quantity for item in dark.items] == [1, 3, 5, 7, 9]


async def test_both_show_staff_what_runs_low(pair: tuple[StockStore, SqlStock | MemoryStock]) -> None:
    store, place = pair
    low, gone = an_item(3, low_at=3), an_item(0)
    await fill(place, ONE.id, low, gone, an_item(4, low_at=3))
    assert (await store.stock_page(ONE.id, StockAsked(low=True))).items == [gone, low]


async def test_both_find_letters_of_any_script_and_take_no_character_for_a_wildcard(
    pair: tuple[StockStore, SqlStock | MemoryStock],
) -> None:
    store, place = pair
    strasse, kofe, rtl, percent = (
        an_item(1, name="Große Straße"),
        an_item(2, name="Кофе", category="Напитки"),
        an_item(3, name="قهوة \u202eعربية"),
        an_item(4, name="100%_pure"),
    )
    await fill(place, ONE.id, strasse, kofe, rtl, percent)
    wanted: list[tuple[str, list[StockItem]]] = [
        ("STRASSE", [strasse]),
        ("кОФ", [kofe]),
        ("напит", [kofe]),
        ("قهوة", [rtl]),
        ("%", [percent]),
        ("0%_P", [percent]),
        (" sku-003 ", [rtl]),
        ("\\", []),
        ("'; DROP TABLE bots; --", []),
    ]
    for text, expected in wanted:
        assert await store.search_stock(ONE.id, text, CHOICES) == expected, text
    assert len(await store.search_stock(ONE.id, "", 3)) == 3
    assert await store.stock_item(ONE.id, "SKU-002") == [kofe]
    assert await store.stock_item(TWO.id, "SKU-002") == []


async def test_what_begins_with_the_text_comes_first_in_both(pair: tuple[StockStore, SqlStock | MemoryStock]) -> None:
    store, place = pair
    tea, green = an_item(1, name="Tea"), an_item(2, name="Green tea")
    await fill(place, ONE.id, green, tea)
    assert await store.search_stock(ONE.id, "tea", 5) == [tea, green]


async def test_an_item_comes_back_whole_and_is_replaced(stock: SqlStock) -> None:
    whole = StockItem("A.b-1_c", "🍕 Pizza", 10**12, T0, "food", "hot\nand 🌶", "12 €", 7)
    assert await stock.put(ONE.id, whole) is True
    assert await stock.get(ONE.id, whole.sku) == whole
    later = structs.replace(whole, name="Pasta", quantity=0, updated_at=T0 + timedelta(days=1))
    assert await stock.put(ONE.id, later) is False
    assert await stock.search_stock(ONE.id, "pizza", 5) == []
    assert await stock.search_stock(ONE.id, "PASTA", 5) == [later]
    await stock.remove(ONE.id, whole.sku)
    with pytest.raises(NotFoundError) as unknown:
        await stock.remove(ONE.id, whole.sku)
    assert unknown.value.code == "stock_item_unknown"


async def test_two_that_put_the_same_item_at_once_both_succeed(stock: SqlStock) -> None:
    new = await asyncio.gather(*(stock.put(ONE.id, an_item(1, quantity=number)) for number in range(4)))
    assert sorted(new) == [False, False, False, True]


async def test_a_bot_has_so_many_items_and_no_more(stock: SqlStock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITEMS", 2)
    await fill(stock, ONE.id, an_item(1), an_item(2))
    with pytest.raises(ConflictError) as full:
        await stock.put(ONE.id, an_item(3))
    assert full.value.code == "stock_full"
    await fill(stock, ONE.id, an_item(2, quantity=5))
    await fill(stock, TWO.id, an_item(3))


async def test_operators_pages_are_by_sku_and_unknown_bots_and_cursors_refused(stock: SqlStock) -> None:
    items = [an_item(number) for number in range(5)]
    await fill(stock, ONE.id, *items)
    first = await stock.page(ONE.id, 2, None)
    second = await stock.page(ONE.id, 200, first.next_cursor)
    assert [*first.items, *second.items] == items
    assert [item.sku for item in (await stock.page(ONE.id, 50, None, low=True)).items] == ["SKU-000"]
    with pytest.raises(FixInputError):
        await stock.page(ONE.id, 2, "nonsense")
    for call in (stock.page("gone", 2, None), stock.get("gone", "a"), stock.put("gone", an_item(1))):
        with pytest.raises(NotFoundError) as unknown:
            await call
        assert unknown.value.code == "bot_unknown"


async def test_the_database_itself_refuses_less_than_nothing(stock: SqlStock) -> None:
    with pytest.raises(IntegrityError):
        await stock.put(ONE.id, an_item(1, quantity=-1))


async def test_a_database_that_is_gone_is_told_by_both(sqlite_gone: Database) -> None:
    fake = MemoryStock()
    fake.away = True
    stores: list[StockStore] = [fake, SqlStock(sqlite_gone)]
    for store in stores:
        for call in (store.stock_page(ONE.id, EMPTY), store.search_stock(ONE.id, "", 1), store.stock_item(ONE.id, "a")):
            with pytest.raises(RetryError):
                await call
