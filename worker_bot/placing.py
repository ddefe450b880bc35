"""Puts what a bot's code says where it belongs, and errors where the answer would be; `answering` decides where."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import hikari

from worker_bot import answering
from worker_bot.answering import NOWHERE, ORIGINAL, VOID_S, Answer, Call, Do, Exchange, Kind, Op
from worker_bot.callbacks import EPHEMERAL, Json, Said

TELL_S: Final = 5.0
"""Longest wait for Discord when an error is told."""

TROUBLE: Final = (hikari.HikariError, TimeoutError, OSError)
log = logging.getLogger("flotilla.guard")


class Wire(Protocol):
    """What the guard asks of Discord; raises as hikari does (see `worker_bot.callbacks.Wire`)."""

    async def answer(self, exchange: Exchange, answer: Answer, data: Json) -> None: ...
    async def edit(self, exchange: Exchange, message_id: str, said: Said) -> Json: ...
    async def new(self, exchange: Exchange, said: Said, *, private: bool) -> Json: ...
    async def fetch(self, exchange: Exchange, message_id: str) -> Json: ...
    async def delete(self, exchange: Exchange, message_id: str) -> None: ...


class Held:
    """What one interaction holds while it is looked after beyond its first response."""

    __slots__ = ("deferring", "exchange", "heard_at", "idle", "is_given_up", "lock", "spoke")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.deferring: asyncio.Task[None] | None = None
        self.lock: asyncio.Lock | None = None
        self.idle: asyncio.Event | None = None
        self.heard_at = 0
        self.is_given_up = False
        self.spoke: object = None  # the handler that gave the initial response

    def locked(self) -> asyncio.Lock:
        if self.lock is None:
            self.lock = asyncio.Lock()
        return self.lock


class Placer:
    """Asks Discord, for all interactions of one bot.

    wire: how it is asked, once the bot runs. start: lets work go on by itself. remade: told when a message had to be
    deleted and made anew, because its audience was another.
    """

    def __init__(
        self,
        wire: Callable[[], Wire],
        clock: Callable[[], float],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        remade: Callable[[Exchange], None],
    ) -> None:
        self._wire, self._clock, self._start, self._remade = wire, clock, start, remade

    async def fill(self, exchange: Exchange, call: Call, said: Said, do: Do, *, private: bool) -> Json:
        """Carry out what `answering.plan` has found for a message of the code, and return the message."""
        message = await self._put(exchange, said, do, private=private)
        if do is Do.REPLACE:
            self._remade(exchange)
        at = exchange.holder if do is Do.EDIT and exchange.holder != NOWHERE else str(message["id"])
        answering.filled(exchange, call, at, private=private)
        return message

    async def _put(self, exchange: Exchange, said: Said, do: Do, *, private: bool) -> Json:
        """Put what is said where it belongs, and return the message."""
        wire = self._wire()
        if do is Do.EDIT:
            try:
                return await wire.edit(exchange, exchange.holder, said)
            except hikari.NotFoundError:  # somebody has deleted what waited
                exchange.holder = NOWHERE
        elif do is Do.REPLACE:
            # Not before it is gone: a follow-up to what waits would fill it, before everybody's eyes.
            await wire.delete(exchange, exchange.holder)
            exchange.holder = NOWHERE
        return await wire.new(exchange, said, private=private)

    async def there(self, exchange: Exchange, call: Call, said: Said) -> Json | None:
        """Do with the message that stands for the initial response what the code asks."""
        wire = self._wire()
        if call.op is Op.FETCH:
            return await wire.fetch(exchange, exchange.holder)
        if call.op is Op.DELETE:
            await wire.delete(exchange, exchange.holder)
            answering.accepted(exchange, call)
            return None
        return await wire.edit(exchange, exchange.holder, said)

    async def tell(self, held: Held, text: str) -> None:
        """Show an error to the user alone, where the answer would be. Never raises for what Discord says."""
        if held.deferring is not None and not held.deferring.done():
            await asyncio.wait({held.deferring})
        async with held.locked():
            await self.show(held, text)

    async def show(self, held: Held, text: str) -> None:
        """Do as `tell`, for a caller that has the lock."""
        exchange, said = held.exchange, Said({"content": text})
        try:
            async with asyncio.timeout(TELL_S):
                if not exchange.is_answered:
                    held.deferring = self._start(self._answer_with(exchange, text))
                    await asyncio.shield(held.deferring)
                elif exchange.is_open:
                    do, _ = answering.fill(exchange, private=True)
                    message = await self._put(exchange, said, do, private=True)
                    is_there = do is Do.EDIT and exchange.holder != NOWHERE
                    answering.told(exchange, exchange.holder if is_there else str(message["id"]))
                elif exchange.kind is not Kind.AUTOCOMPLETE:
                    await self._wire().new(exchange, said, private=True)
        except TROUBLE as error:
            log.warning("the user of %s could not be told: %r", exchange.name, error)

    async def _answer_with(self, exchange: Exchange, text: str) -> None:
        if self._clock() >= exchange.began + VOID_S:
            return
        if exchange.kind is Kind.AUTOCOMPLETE:
            await self._wire().answer(exchange, Answer.CHOICES, {"choices": []})
            exchange.deferred = Answer.CHOICES
            return
        await self._wire().answer(exchange, Answer.MESSAGE, {"content": text, "flags": EPHEMERAL})
        answering.told(exchange, ORIGINAL)
