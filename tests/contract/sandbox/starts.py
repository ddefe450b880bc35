"""One application whose bot is started again and again, each time with the commands that a test wants."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hikari
import lightbulb

from flotilla.domain.command_syncs import SyncReport
from tests.extensions.shop import loader_of
from tests.stack import until
from worker_bot import command_sync
from worker_bot.command_sync import CommandSync

if TYPE_CHECKING:
    from tests.contract.sandbox.conftest import Sandbox

Loading = Callable[[lightbulb.Client], Awaitable[None]]


class Case:
    """One application whose bot is started again and again, each time with the commands that the test wants."""

    def __init__(self, sandbox: "Sandbox", path: Path) -> None:
        self.sandbox, self.path = sandbox, path
        self.requests: list[str] = []
        self.reports: list[SyncReport] = []
        self.sync: CommandSync | None = None
        self._closing: Callable[[], Awaitable[None]] | None = None

    async def begin(self) -> None:
        self.application_id, self.token = await self.sandbox.application()
        (self.guild_id,) = [int(each["id"]) for each in (await self.sandbox.control("GET", "/guilds"))["items"]]

    async def start(
        self,
        *,
        epoch: int = 0,
        first_s: float = 20.0,
        delete: bool = True,
        ahead: str = "",
        loading: Loading | None = None,
        alone: bool = False,
        **changes: Any,
    ) -> list[str]:
        """Start a process' lightbulb client; return what was asked of Discord until it had started.

        ahead: a command that the client had when it was looked at before the start. loading: what the bot's code does
        with the client besides. alone: with lightbulb's own sync.
        """
        self.close()
        self.requests.clear()
        self.reports.clear()
        self.sync = CommandSync(
            self.path, int(self.application_id), self.reports.append, epoch=epoch, first_s=first_s, retry_base_s=0.05
        )
        command_sync.install(None if alone else self.sync)
        settings: dict[str, Any] = {
            "banner": None,
            "logs": None,
            "suppress_optimization_warning": True,
            "max_retries": 0,
        }
        app = hikari.GatewayBot(self.token, rest_url=f"{self.sandbox.url}/api/v10", **settings)
        client = self.client = lightbulb.client_from_app(app, delete_unknown_commands=delete)
        app.rest.start()  # type: ignore[attr-defined] # hikari tells only its bots of it
        self._closing = app.rest.close
        if ahead:
            await loader_of(name=ahead).add_to_client(client)
            await command_sync.look_ahead(client)
            assert self.requests == [], "there is nobody to ask yet"
        if not ahead or changes:
            await loader_of(**changes).add_to_client(client)
        if loading is not None:
            await loading(client)
        await client.start()
        if first_s < 1:
            await until(lambda: self.reports, "it has tried")
        return list(self.requests)

    async def stop(self) -> None:
        self.close()
        if self._closing is not None:
            await self._closing()

    def close(self) -> None:
        if self.sync is not None:
            self.sync.close()

    async def commands(self, guild_id: int | None = None) -> list[dict[str, Any]]:
        guild = "" if guild_id is None else f"/guilds/{guild_id}"
        path = f"/applications/{self.application_id}{guild}/commands?with_localizations=true"
        _, found = await self.sandbox.rest("GET", path, self.token)
        return sorted(found, key=lambda command: str(command["name"]))

    async def named(self, *names: str) -> list[dict[str, Any]]:
        return [command for command in await self.commands() if command["name"] in names]

    async def names(self, guild_id: int | None = None) -> list[str]:
        return [command["name"] for command in await self.commands(guild_id)]
