"""Commands are registered when they differ and not at each start: lightbulb, hikari and the sandbox."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import hikari
import lightbulb
import pytest
from aiohttp import web
from lightbulb import client as lightbulbs_client
from lightbulb.internal import sync as lightbulbs

from flotilla.domain.command_syncs import GLOBAL, SyncReport
from flotilla.protocol import RequestLimits
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import Sandbox
from tests.extensions.shop import loader_of
from tests.judges.tap import Tap
from tests.stack import until
from worker_bot import command_sync, rest
from worker_bot.command_sync import CommandSync
from worker_bot.requests import RequestGuard


class Case:
    """One application whose bot is started again and again, each time with the commands that the test wants."""

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self.sandbox, self.path = sandbox, path
        self.requests: list[str] = []
        self.reports: list[SyncReport] = []
        self.sync: CommandSync | None = None
        self._closing: Callable[[], Awaitable[None]] | None = None

    async def begin(self) -> None:
        self.application_id, self.token = await self.sandbox.application()
        (self.guild_id,) = [int(each["id"]) for each in (await self.sandbox.control("GET", "/guilds"))["items"]]

    async def start(
        self, *, epoch: int = 0, first_s: float = 20.0, delete: bool = True, ahead: str = "", **changes: Any
    ) -> list[str]:
        """Start a process' lightbulb client; return what was asked of Discord until it had started.

        ahead: a command that the client had when it was looked at before the start.
        """
        self.close()
        self.requests.clear()
        self.reports.clear()
        self.sync = CommandSync(
            self.path, int(self.application_id), self.reports.append, epoch=epoch, first_s=first_s, retry_base_s=0.05
        )
        command_sync.install(self.sync)
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
        path = f"/applications/{self.application_id}{guild}/commands"
        _, found = await self.sandbox.rest("GET", path, self.token)
        return sorted(found, key=lambda command: str(command["name"]))

    async def names(self, guild_id: int | None = None) -> list[str]:
        return [command["name"] for command in await self.commands(guild_id)]


@pytest.fixture
async def case(tap: Tap | None, tmp_path: Path) -> AsyncIterator[Case]:
    asked: list[Callable[[str], None]] = []

    @web.middleware
    async def heard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        for tell in asked if request.headers.get("User-Agent", "").startswith("DiscordBot") else ():
            tell(f"{request.method} {request.path.rpartition('/')[2]}")
        return await handler(request)

    loop = asyncio.get_running_loop()
    discord = LocalDiscord(Mint(b"a secret of the tests"), loop.time, Rules(identify_interval_s=0))
    middlewares = [heard] if tap is None else [tap.middleware(), heard]
    async with serve(discord, "127.0.0.1", 0, middlewares) as url, aiohttp.ClientSession() as http:
        case = Case(Sandbox(url, http, discord), tmp_path / "commands.json")
        await case.begin()
        asked.append(case.requests.append)
        try:
            yield case
        finally:
            command_sync.install(None)
            await case.stop()


def test_lightbulb_registers_where_flotilla_stands() -> None:
    """lightbulb is pinned; a new release that has another way must not pass."""
    assert "await sync.sync_application_commands(self)" in inspect.getsource(lightbulbs_client)
    assert lightbulbs.sync_application_commands.__module__ == command_sync.__name__
    assert "_created_commands" in inspect.getsource(lightbulbs_client)


async def test_nothing_is_asked_of_discord_while_the_commands_are_the_same(case: Case) -> None:
    first = await case.start()
    assert first[-1] == "PUT commands"
    await case.stop()
    assert await case.start() == []
    assert case.reports == []
    assert await case.names() == ["shop"]


@pytest.mark.parametrize("changes", [{"name": "store"}, {"permissions": hikari.Permissions.MANAGE_GUILD}, {"count": 2}])
async def test_any_difference_is_registered_permissions_too(case: Case, changes: dict[str, Any]) -> None:
    await case.start()
    await case.stop()
    assert "PUT commands" in await case.start(**changes)
    (found, *_) = [each for each in await case.commands() if not each["name"].startswith("more")]
    assert found["name"] == changes.get("name", "shop")
    assert found["default_member_permissions"] == (
        str(int(changes["permissions"])) if "permissions" in changes else None
    )


async def test_a_servers_own_commands_are_registered_and_taken_away_there(case: Case) -> None:
    await case.start(guild=case.guild_id)
    assert (await case.names(), await case.names(case.guild_id)) == ([], ["shop"])
    await case.stop()
    assert await case.start(guild=case.guild_id) == []
    await case.stop()
    assert (await case.start()).count("PUT commands") == 2
    assert (await case.names(), await case.names(case.guild_id)) == (["shop"], [])


async def test_an_order_registers_what_somebody_changed_elsewhere_once(case: Case) -> None:
    await case.start()
    await case.sandbox.rest("PUT", f"/applications/{case.application_id}/commands", case.token, [])
    assert case.sync is not None
    case.requests.clear()
    case.sync.order(1)
    await until(lambda: case.reports == [SyncReport(1)], "it is registered again")
    assert await case.names() == ["shop"]
    await case.stop()
    assert await case.start(epoch=1) == []
    await case.stop()
    assert "PUT commands" in await case.start(epoch=2)


async def test_a_refused_command_is_named_and_the_bot_starts_with_the_old_ones(case: Case) -> None:
    await case.start()
    await case.stop()
    assert "PUT commands" in await case.start(name="NotThis")
    (refusal,) = case.reports[-1].refused
    assert (refusal.scope, refusal.commands) == (GLOBAL, ("NotThis",))
    assert "name" in refusal.why
    assert await case.names() == ["shop"]
    await case.stop()
    assert await case.start(name="NotThis") == []
    await case.stop()
    assert "PUT commands" in await case.start(name="NotThis", epoch=1)
    await case.stop()
    assert await case.start(epoch=1) != []
    assert await case.names() == ["shop"]


async def test_a_bot_whose_requests_are_held_back_starts_all_the_same(case: Case) -> None:
    guard = RequestGuard()
    guard.starting = False
    guard.obey(RequestLimits(quarantined=True))
    rest.install(guard)
    try:
        await case.start(first_s=0.05)
    finally:
        rest.install(None)
    assert case.reports[-1].postponed.startswith("RequestHeldBackError")
    assert not case.path.exists()
    assert not any(request.startswith("PUT") for request in case.requests)


async def test_a_days_creations_that_are_used_up_are_waited_for(case: Case) -> None:
    for more in ("a", "b"):
        await case.start(more=more, count=99)
        await case.stop()
    await case.start(first_s=0.05, more="c", count=99)
    assert "Max number of daily" in case.reports[-1].postponed
    assert "b-7" in await case.names()


async def test_commands_are_registered_once_discord_is_back(case: Case) -> None:
    fault = {"kind": "rest_down", "route": "PUT /applications/"}
    await case.sandbox.call("POST", "/sandbox/faults", fault)
    await case.start(first_s=0.05)
    assert await case.names() == []
    await case.sandbox.call("DELETE", "/sandbox/faults")
    await until(lambda: any(report.registered for report in case.reports), "it is registered")
    assert await case.names() == ["shop"]


async def test_a_refusal_that_may_be_cured_is_tried_with_the_next_start(case: Case) -> None:
    fault = {"kind": "rest_refused", "route": "PUT /applications/", "code": 50001}
    await case.sandbox.call("POST", "/sandbox/faults", fault)
    await case.start()
    (refusal,) = case.reports[-1].refused
    assert (refusal.commands, refusal.why) == ((), "ForbiddenError: Missing Access")
    await case.sandbox.call("DELETE", "/sandbox/faults")
    await case.stop()
    await case.start()
    assert await case.names() == ["shop"]


async def test_a_client_that_leaves_unknown_commands_alone_does_so(case: Case) -> None:
    await case.start(name="store")
    await case.stop()
    await case.start(name="shop", delete=False)
    assert await case.names() == ["shop", "store"]
    await case.stop()
    assert await case.start(name="shop", delete=False) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"application_id": "x"}', b"\xff\xfe", b'{"x": ' + b"[" * 100_000])
async def test_a_broken_record_means_to_register_again(case: Case, content: bytes) -> None:
    case.path.write_bytes(content)
    assert "PUT commands" in await case.start()
    await case.stop()
    assert await case.start() == []


async def test_a_record_that_cannot_be_written_keeps_no_bot_from_starting(case: Case, tmp_path: Path) -> None:
    case.path = tmp_path / "no" / "such" / "folder" / "commands.json"
    assert "PUT commands" in await case.start()
    assert await case.names() == ["shop"]


async def test_what_was_found_before_the_start_holds_while_the_commands_are_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[lightbulb.Client] = []
    find = command_sync._wanted

    async def counted(client: lightbulb.Client) -> Any:
        built.append(client)
        return await find(client)

    monkeypatch.setattr(command_sync, "_wanted", counted)
    assert "PUT commands" in await case.start(ahead="shop")
    assert await case.names() == ["shop"]
    assert len(built) == 1, "not again at the start"
    assert case.client.invokable_commands
    await case.stop()
    assert await case.start(ahead="shop") == []
    await case.stop()
    assert "PUT commands" in await case.start(ahead="shop", name="store")
    assert await case.names() == ["shop", "store"]
    await case.stop()
    assert "PUT commands" in await case.start(name="store"), "another client is another matter"
    assert await case.names() == ["store"]
