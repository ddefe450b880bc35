"""The server: REST, gateway and control on one port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from sandbox.control import calls as control
from sandbox.gateway.server import Gateway
from sandbox.http import DISCORD
from sandbox.local_discord import LocalDiscord
from sandbox.rest import channels, commands, identity, interactions
from sandbox.rest.shell import errors_as_json

_BACKLOG = 2048  # a whole fleet connects at once
_STOP_S = 1.0


@asynccontextmanager
async def serve(discord: LocalDiscord, host: str, port: int) -> AsyncIterator[str]:
    """Serve `discord` while the context lasts; yield its URL.

    port: 0 picks a free one. Raises OSError if the address cannot be used.
    """
    gateway = Gateway(discord)
    app = web.Application(middlewares=[errors_as_json, control.guard], client_max_size=32 << 20)
    app[DISCORD] = discord
    for routes in (identity.ROUTES, commands.ROUTES, interactions.ROUTES, channels.ROUTES, control.ROUTES):
        app.add_routes(routes)
    app.router.add_get("/gateway", gateway.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    sweeper = asyncio.create_task(gateway.sweep_forever())
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        bound_port = runner.addresses[0][1]
        yield f"http://{_reachable(host)}:{bound_port}"
    finally:
        sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await sweeper
        await gateway.close_all()
        await runner.cleanup()


def _reachable(host: str) -> str:
    if host == "0.0.0.0":  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
