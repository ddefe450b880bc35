"""`StockStore` in memory. It passes the contract suite of the real one (tests/contract/test_stock.py)."""

from flotilla.domain.stock import CHOICES, PAGE_ITEMS, StockAsked, StockItem, StockPage, folded, page_of
from flotilla.errors import RetryError


class MemoryStock:
    """Items by bot and sku. away: answer nothing, as a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.items: dict[str, dict[str, StockItem]] = {}

    def put(self, bot_id: str, *items: StockItem) -> None:
        self.items.setdefault(bot_id, {}).update((item.sku, item) for item in items)

    async def stock_page(self, bot_id: str, wanted: StockAsked) -> StockPage:
        own = self._own(bot_id)
        found = [item for item in own if wanted.category in {None, item.category} and (item.is_low or not wanted.low)]
        page, pages = page_of(wanted.page, len(found))
        categories = sorted({item.category for item in own} - {""})[: CHOICES - 1]
        start = (page - 1) * PAGE_ITEMS
        return StockPage(found[start : start + PAGE_ITEMS], page, pages, len(found), categories)

    async def search_stock(self, bot_id: str, text: str, limit: int) -> list[StockItem]:
        wanted = text.strip().casefold()
        found = [item for item in self._own(bot_id) if wanted in folded(item)]
        return sorted(found, key=lambda item: not folded(item).startswith(wanted))[:limit]

    async def stock_item(self, bot_id: str, sku: str) -> list[StockItem]:
        return [item for item in self._own(bot_id) if item.sku == sku]

    def _own(self, bot_id: str) -> list[StockItem]:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
        return sorted(self.items.get(bot_id, {}).values(), key=lambda item: (item.name, item.sku))
