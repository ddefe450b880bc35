"""Answers what a bot's users ask about its stock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from flotilla.domain.stock import StockAsked, StockSearched, StockShown
from flotilla.errors import FixInputError
from flotilla.ports import StockStore
from flotilla.protocol import Topic
from supervisor.answers import Answerer
from supervisor.member import Member


class Stock:
    """Of all bots. looking: taken for each look into the database."""

    def __init__(self, store: StockStore, looking: asyncio.Semaphore) -> None:
        self._store, self._looking = store, looking

    def topics(self) -> Mapping[Topic, Answerer]:
        """Return who answers what."""
        return {
            "stock.page": self._answerer(StockAsked, self._store.stock_page),
            "stock.search": self._answerer(
                StockSearched, lambda bot_id, asked: self._store.search_stock(bot_id, asked.text, asked.limit)
            ),
            "stock.item": self._answerer(StockShown, lambda bot_id, asked: self._store.stock_item(bot_id, asked.sku)),
        }

    def _answerer(self, model: type[Any], look: Callable[[str, Any], Awaitable[Any]]) -> Answerer:
        async def answer(member: Member, body: bytes) -> bytes:
            try:
                asked = msgspec.json.decode(body, type=model)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                raise FixInputError(f"That is not a question about stock: {fault}") from None
            async with self._looking:
                return msgspec.json.encode(await look(member.bot.id, asked))

        return answer
