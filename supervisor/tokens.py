"""The tokens of bots whose workers start, read many at a time: a query for each costs more than its worker's socket."""

import asyncio
from collections.abc import Iterable

from flotilla.errors import NotFoundError, RetryError
from flotilla.ports import FleetStore
from flotilla.secrets import TokenVault
from flotilla.tasks import spawn

KNOWN_AFTER_S = 2.0
"""A database that has not answered by then is not waited for where the token is known."""


class Tokens:
    """Who asks while a query runs is in the next one. Each is kept as it is stored, for when the database is away."""

    def __init__(self, store: FleetStore, vault: TokenVault) -> None:
        self._store = store
        self._vault = vault
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._known: dict[str, bytes] = {}

    async def learn(self, bot_ids: Iterable[str]) -> None:
        """Read the tokens of bots that may be needed while the database is away. Raises RetryError."""
        self._known |= await self._store.encrypted_tokens(bot_ids)

    def forget(self, bot_id: str) -> None:
        """Drop the token of a bot that is removed."""
        self._known.pop(bot_id, None)

    async def of(self, bot_id: str) -> str:
        """Return a bot's token.

        Raises NotFoundError when the bot is gone, SetupError when its token cannot be decrypted, RetryError when the
        database is away and the token is not known.
        """
        future = self._asked.get(bot_id)
        if future is None:
            future = self._asked[bot_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = spawn("tokens", self._read())
        # One that gives up must not take the answer from another that waits for the same.
        known = self._known.get(bot_id)
        try:
            found = await asyncio.wait_for(asyncio.shield(future), None if known is None else KNOWN_AFTER_S)
        except (RetryError, TimeoutError):
            if known is None:
                raise
            found = known
        token = self._vault.decrypt(found)
        self._known[bot_id] = found
        return token

    async def _read(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[str, asyncio.Future[bytes]]) -> None:
        try:
            found = await self._store.encrypted_tokens(asked)
        except Exception as fault:  # noqa: BLE001 - whatever it is, those who wait are told
            for future in asked.values():
                future.set_exception(fault)
                future.exception()  # nobody may be waiting any more
            return
        for bot_id, future in asked.items():
            token = found.get(bot_id)
            if token is not None:
                future.set_result(token)
            else:
                future.set_exception(NotFoundError("There is no bot with this id.", code="bot_unknown"))
                future.exception()
