import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
import zstandard
from aiohttp import WSMsgType, web

from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.starts import Case
from tests.judges import description
from tests.judges.description import Description
from tests.judges.tap import Tap
from worker_bot import command_sync


class GatewayClient:
    """A gateway client that does nothing on its own."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse, compress: str = "") -> None:
        self.websocket = websocket
        self._decoder: Any = None
        if compress == "zlib-stream":
            self._decoder = zlib.decompressobj()
        elif compress == "zstd-stream":
            self._decoder = zstandard.ZstdDecompressor().decompressobj()

    async def send(self, op: int, d: Any = None) -> None:
        await self.websocket.send_json({"op": op, "d": d})

    async def identify(self, token: str, intents: int = 1) -> None:
        await self.send(2, {"token": token, "intents": intents, "properties": {}})

    async def receive(self) -> dict[str, Any]:
        message = await self.websocket.receive(timeout=5)
        if self._decoder is not None:
            assert message.type is WSMsgType.BINARY, message
            return json.loads(self._decoder.decompress(message.data))  # type: ignore[no-any-return]
        if message.type is WSMsgType.BINARY:
            return json.loads(zlib.decompress(message.data))  # type: ignore[no-any-return]
        assert message.type is WSMsgType.TEXT, message
        return message.json()  # type: ignore[no-any-return]

    async def event(self, name: str) -> dict[str, Any]:
        while True:
            payload = await self.receive()
            if payload["t"] == name:
                return dict(payload["d"])

    async def close_code(self) -> int | None:
        while not self.websocket.closed:
            await self.websocket.receive(timeout=5)
        return self.websocket.close_code


class Sandbox:
    """A running sandbox and the calls tests make to it."""

    def __init__(self, url: str, http: aiohttp.ClientSession, discord: LocalDiscord) -> None:
        self.url = url
        self.http = http
        self.discord = discord
        self.key = {"Authorization": f"Bearer {discord.control_key}"}
        self.clients: list[aiohttp.ClientWebSocketResponse] = []

    async def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bot {token}"} if token else {}
        if path.startswith("/sandbox"):
            headers = self.key
        async with self.http.request(method, self.url + path, json=body, headers=headers, **more) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def rest(self, method: str, path: str, token: str | None = None, body: Any = None) -> tuple[int, Any]:
        return await self.call(method, f"/api/v10{path}", body, token)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.call(method, f"/sandbox{path}", body)
        assert status == 200, answer
        return answer

    async def application(self, name: str = "alpha") -> tuple[str, str]:
        application = await self.control("POST", "/applications", {"name": name})
        return application["id"], application["token"]

    async def gateway(self, query: str = "?v=10&encoding=json") -> GatewayClient:
        websocket = await self.http.ws_connect(f"{self.url}/gateway{query}")
        self.clients.append(websocket)
        return GatewayClient(websocket, dict(parse_qsl(query[1:])).get("compress", ""))


@pytest.fixture(scope="session")
def discords_description() -> Description | None:
    """Discord's description of its API, or None where it is not at hand; test_description.py then says so."""
    document = description.read()
    return None if document is None else Description(document)


@contextmanager
def tapping(discords_description: Description | None) -> Iterator[Tap | None]:
    """The judge of all that passes between the sandboxes of this process and bots, until the context ends."""
    if discords_description is None:
        yield None
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        tap = Tap(discords_description)
        tap.listen(monkeypatch)
        yield tap


@pytest.fixture
def tap(discords_description: Description | None) -> Iterator[Tap | None]:
    """The judge for one test; what it found fails the test at its end."""
    with tapping(discords_description) as tap:
        yield tap
    if tap is not None:
        tap.check()


@pytest.fixture
async def sandbox(tap: Tap | None) -> AsyncIterator[Sandbox]:
    async with serving(tap, Rules(identify_interval_s=0)) as sandbox:
        yield sandbox


@asynccontextmanager
async def serving(tap: Tap | None, rules: Rules) -> AsyncIterator[Sandbox]:
    """A sandbox on a free port, judged by the tap, until the context ends."""
    offset_s = time.time() - time.monotonic()
    discord = LocalDiscord(Mint(b"a secret of the tests"), lambda: offset_s + time.monotonic(), rules)
    middlewares = [] if tap is None else [tap.middleware()]
    async with serve(discord, "127.0.0.1", 0, middlewares) as url, aiohttp.ClientSession() as http:
        running = Sandbox(url, http, discord)
        yield running
        for client in running.clients:
            with suppress(ConnectionError):
                await client.close()
    assert not discord.failures.total, "\n".join(each["stack"] for each in discord.failures.kept)


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
