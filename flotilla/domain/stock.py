"""What a bot has in stock, and what its users ask about it. Pure."""

import math
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from flotilla.errors import FixInputError

MAX_ITEMS: Final = 10_000
"""Of one bot. A shop with more than that has a system of its own."""

PAGE_ITEMS: Final = 5
"""That fit a message with their descriptions."""

CHOICES: Final = 25
"""That Discord shows for an option, or in a select (Discord, Application Commands and Component Reference)."""

MAX_QUANTITY: Final = 10**12

Sku = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=40)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Category = Annotated[str, Meta(max_length=50)]
Description = Annotated[str, Meta(max_length=1000)]
Price = Annotated[str, Meta(max_length=50)]
Quantity = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]


class StockItem(msgspec.Struct, frozen=True):
    """One item of one bot.

    sku: unique among the bot's. category: empty if it is in none. price: as it is shown; Flotilla does no sums. low_at:
    staff are told when there are no more than these. updated_at: aware UTC.
    """

    sku: Sku
    name: Name
    quantity: Quantity
    updated_at: datetime
    category: Category = ""
    description: Description = ""
    price: Price = ""
    low_at: Quantity = 0

    @property
    def is_low(self) -> bool:
        """Whether staff should see to it."""
        return self.quantity <= self.low_at


class StockAsked(msgspec.Struct, frozen=True):
    """Which page of a bot's items. page: from 1. category: None: of all. low: only those that staff should see to."""

    page: Annotated[int, Meta(ge=1)] = 1
    category: Category | None = None
    low: bool = False


class StockPage(msgspec.Struct, frozen=True):
    """Items by their names. page, pages: from 1; of none there is one page. categories: of all, as many as fit."""

    items: list[StockItem]
    page: int
    pages: int
    total: int
    categories: list[str] = []


class StockSearched(msgspec.Struct, frozen=True):
    """A search for `text` in names, categories and skus."""

    text: Annotated[str, Meta(max_length=100)] = ""
    limit: Annotated[int, Meta(ge=1, le=CHOICES)] = CHOICES


class StockShown(msgspec.Struct, frozen=True):
    """One item is asked for."""

    sku: Annotated[str, Meta(max_length=100)]


def require_sku(sku: str) -> str:
    """Return `sku` if it can be one. Raises FixInputError (`sku_invalid`)."""
    try:
        return msgspec.convert(sku, Sku)
    except msgspec.ValidationError:
        raise FixInputError(
            "A sku has 1 to 40 letters, digits, dots, underscores or hyphens, and begins with a letter or digit.",
            code="sku_invalid",
        ) from None


def folded(item: StockItem) -> str:
    """Return what of an item is searched, in which the case of letters plays no part."""
    return f"{item.name}\n{item.category}\n{item.sku}".casefold()


def page_of(asked: int, total: int, per_page: int = PAGE_ITEMS) -> tuple[int, int]:
    """Return the page that is shown for the one asked for, and how many there are; both from 1."""
    pages = max(1, math.ceil(total / per_page))
    return min(max(1, asked), pages), pages
