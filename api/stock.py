"""What a bot has in stock, over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

import structlog
from msgspec import Meta, Struct
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.schemas import Cursor, Limit
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.keys import Role
from flotilla.domain.stock import Category, Description, Name, Price, Quantity, StockItem, require_sku

PATH = "/api/v1/bots/<bot_id>/stock"
log = structlog.get_logger()


class StockQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which items, and which page of them."""

    limit: Limit = 50
    cursor: Cursor | None = None
    low: Annotated[bool, Meta(description="Only those that staff should see to.")] = False


class NewStockItem(Struct, forbid_unknown_fields=True, frozen=True):
    """An item as it is to be. price: as it is shown. low_at: staff are told when there are no more than these."""

    name: Name
    quantity: Quantity
    category: Category = ""
    description: Description = ""
    price: Price = ""
    low_at: Quantity = 0


class StockItemPage(Struct, frozen=True):
    """Items in the order of their skus."""

    items: list[StockItem]
    next_cursor: str | None


class StockRoutes:
    """The views of one bot's stock."""

    def __init__(self, services: Services) -> None:
        self._stock = services.stock

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("stock", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_stock, methods=["GET"])
        routes.add_url_rule("/<sku>", view_func=self.get_stock_item, methods=["GET"])
        routes.add_url_rule("/<sku>", view_func=self.put_stock_item, methods=["PUT"])
        routes.add_url_rule("/<sku>", view_func=self.remove_stock_item, methods=["DELETE"])
        tag_blueprint(routes, ["stock"])
        return routes

    @requires(Role.VIEWER)
    @document_response(StockItemPage)
    @validate_querystring(StockQuery)
    async def list_stock(self, bot_id: str, query_args: StockQuery) -> Response:
        """List what a bot has in stock, in the order of the skus."""
        page = await self._stock.page(bot_id, query_args.limit, query_args.cursor, low=query_args.low)
        return answer(StockItemPage(list(page.items), page.next_cursor))

    @requires(Role.VIEWER)
    @document_response(StockItem)
    async def get_stock_item(self, bot_id: str, sku: str) -> Response:
        """Show one item."""
        return answer(await self._stock.get(bot_id, sku))

    @requires(Role.OPERATOR)
    @document_request(NewStockItem)
    @document_response(StockItem)
    async def put_stock_item(self, bot_id: str, sku: str) -> Response:
        """Store an item in place of the one with its sku; 201 if there was none."""
        new = await read_body(NewStockItem)
        item = StockItem(
            require_sku(sku),
            new.name,
            new.quantity,
            datetime.now(UTC),
            new.category,
            new.description,
            new.price,
            new.low_at,
        )
        is_new = await self._stock.put(bot_id, item)
        log.info("stock.set", bot_id=bot_id, sku=sku, quantity=new.quantity, key_name=caller().name)
        return answer(item, 201 if is_new else 200)

    @requires(Role.OPERATOR)
    async def remove_stock_item(self, bot_id: str, sku: str) -> Response:
        """Remove an item."""
        await self._stock.remove(bot_id, sku)
        log.info("stock.removed", bot_id=bot_id, sku=sku, key_name=caller().name)
        return Response(b"", 204)
