"""What only a bot's worker gets: its token and its secrets.

Those of bots that start are read many at a time: a query for each costs more than its worker's socket.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flotilla.domain.bot_secrets import Encrypted
from flotilla.errors import NotFoundError, RetryError, SetupError
from flotilla.ports import FleetStore
from flotilla.secrets import TokenVault
from flotilla.tasks import spawn

KNOWN_AFTER_S = 2.0
"""A database that has not answered by then is not waited for where the token is known."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A bot's token and its secrets by name, in plain text."""

    token: str
    secrets: Mapping[str, str] = field(default_factory=dict)


class Tokens:
    """Who asks while a query runs is in the next one. Each is kept as it is stored, for when the database is away."""

    def __init__(self, store: FleetStore, vault: TokenVault) -> None:
        self._store = store
        self._vault = vault
        self._asked: dict[str, asyncio.Future[Encrypted]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._known: dict[str, Encrypted] = {}

    async def learn(self, bot_ids: Iterable[str]) -> None:
        """Read what bots may need while the database is away. Raises RetryError."""
        self._known |= await self._store.credentials(bot_ids)

    def forget(self, bot_id: str) -> None:
        """Drop the token and the secrets of a bot that is removed."""
        self._known.pop(bot_id, None)

    def secrets_of(self, bot_id: str) -> list[str]:
        """Return the values of a bot's secrets as far as they are known here, for keeping them out of what is shown."""
        known = self._known.get(bot_id)
        if known is None:
            return []
        try:
            return list(self._plain(known.secrets).values())
        except (SetupError, OSError):
            return []

    async def of(self, bot_id: str) -> Credentials:
        """Return a bot's token and secrets.

        Raises NotFoundError when the bot is gone, SetupError (`token_unreadable`, `secret_unreadable`) when something
        of it cannot be decrypted, RetryError when the database is away and they are not known.
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
        plain = Credentials(self._vault.decrypt(found.token), self._plain(found.secrets))
        self._known[bot_id] = found
        return plain

    def _plain(self, secrets: Mapping[str, bytes]) -> dict[str, str]:
        plain = {}
        for name, value in secrets.items():
            try:
                plain[name] = self._vault.decrypt(value)
            except SetupError as fault:
                raise SetupError(
                    f"The secret {name} was encrypted with a key that is not in the key file.", code="secret_unreadable"
                ) from fault
        return plain

    async def _read(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[str, asyncio.Future[Encrypted]]) -> None:
        try:
            found = await self._store.credentials(asked)
        except Exception as fault:  # noqa: BLE001 - whatever it is, those who wait are told
            for future in asked.values():
                future.set_exception(fault)
                future.exception()  # nobody may be waiting any more
            return
        for bot_id, future in asked.items():
            encrypted = found.get(bot_id)
            if encrypted is not None:
                future.set_result(encrypted)
            else:
                future.set_exception(NotFoundError("There is no bot with this id.", code="bot_unknown"))
                future.exception()
