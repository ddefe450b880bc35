"""A real receiver of webhooks on this host, which behaves as a test says, for as long as it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook as Verifier


@dataclass
class Message:
    """What came. body: as it was sent."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the content once its signature was checked by the library of the specification's authors."""
        return Verifier(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """status: of its answers. wait_s: before each. location: of a redirect."""

    url: str = ""
    status: int = 204
    wait_s: float = 0.0
    location: str = ""
    got: list[Message] = field(default_factory=list)
    now: int = 0
    most: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(Message({key.lower(): value for key, value in request.headers.items()}, await request.read()))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.wait_s)
        finally:
            self.now -= 1
        return web.Response(status=self.status, headers={"location": self.location} if self.location else {})


@contextlib.asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """Yield a receiver that listens."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
