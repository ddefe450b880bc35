"""The tokens of bots whose workers start, read many at a time: a query for each costs more than its worker's socket."""

import asyncio

from flotilla.errors import NotFoundError
from flotilla.ports import FleetStore
from flotilla.secrets import TokenVault


class Tokens:
    """Who asks while a query runs is in the next one."""

    def __init__(self, store: FleetStore, vault: TokenVault) -> None:
        self._store = store
        self._vault = vault
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, bot_id: str) -> str:
        """Return a bot's token.

        Raises NotFoundError when the bot is gone, SetupError when its token cannot be decrypted, RetryError when the
        database is away.
        """
        future = self._asked.get(bot_id)
        if future is None:
            future = self._asked[bot_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        # One that gives up must not take the answer from another that waits for the same.
        return self._vault.decrypt(await asyncio.shield(future))

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
