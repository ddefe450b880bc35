"""The server: REST, gateway and control on one port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox import limits
from sandbox.control import acts, applications, consents, door, shell
from sandbox.control import faults as control_faults
from sandbox.control import gateway as control_gateway
from sandbox.control import limits as control_limits
from sandbox.control import load as control_load
from sandbox.control import reactions as control_reactions
from sandbox.control import world as control_world
from sandbox.faults.book import FaultBook
from sandbox.faults.gateway import GatewayFaults
from sandbox.faults.rest import rest_faults
from sandbox.gateway.server import Gateway
from sandbox.http import DISCORD
from sandbox.local_discord import LocalDiscord
from sandbox.rest import (
    authorize,
    channels,
    commands,
    guilds,
    identity,
    interactions,
    members,
    messages,
    oauth2,
    pins,
    reactions,
    users,
    webhooks,
)
from sandbox.rest.edge import errors_as_json
from sandbox.rest.shell import PREFIX, PREFIXES

_OF_CHANNELS = (channels, pins, messages, reactions, webhooks)  # `/messages/pins` before `/messages/{message_id}`
_REST = (identity, oauth2, users, guilds, members, *_OF_CHANNELS, commands, interactions)
_CONTROL = (
    applications,
    acts,
    consents,
    control_faults,
    control_gateway,
    control_limits,
    control_load,
    control_reactions,
    control_world,
)
REST_ROUTES = [route for module in _REST for route in module.ROUTES]
_OTHER_ROUTES = [
    *authorize.ROUTES,
    *messages.DOWNLOADS,
    *(route for module in _CONTROL for route in module.ROUTES),
]
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_BACKLOG = 2048  # a whole fleet connects at once
_STOP_S = 1.0
_PRINTED = "The sandbox printed it when it started."


@web.middleware
async def _changes(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Note that something may have changed, by whatever is no mere question."""
    try:
        return await handler(request)
    finally:
        if request.method not in _READS:
            request.app[DISCORD].changes += 1


@asynccontextmanager
async def serve(
    discord: LocalDiscord,
    host: str,
    port: int,
    middlewares: Sequence[Middleware] = (),
    *,
    where_key_is: str = _PRINTED,
) -> AsyncIterator[str]:
    """Serve `discord` while the context lasts; yield its URL.

    port: 0 picks a free one. middlewares: what sees each request first and each answer last, as it goes out.
    where_key_is: a sentence for who makes control calls without the key.
    Raises OSError if the address cannot be used.
    """
    book = FaultBook()
    faults = GatewayFaults(book, discord)
    gateway = Gateway(discord, faults, discord.world.guilds_on_shard)
    faults.connections = gateway.identified
    app = web.Application(
        middlewares=[*middlewares, errors_as_json, rest_faults(book), shell.guard, _changes],
        client_max_size=limits.REQUEST_MAX_BYTES,
    )
    app[shell.DOOR] = door.Door(host, discord.control_key, where_key_is)
    app[DISCORD], app[control_faults.BOOK], app[control_faults.GATEWAY_FAULTS] = discord, book, faults
    for prefix in PREFIXES:
        app.add_routes(web.route(r.method, prefix + r.path.removeprefix(PREFIX), r.handler) for r in REST_ROUTES)
    app.add_routes(_OTHER_ROUTES)
    app.cleanup_ctx.append(control_load.context)
    app.router.add_get("/gateway", gateway.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    sweeper = asyncio.create_task(gateway.sweep_forever())
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        bound_port = runner.addresses[0][1]
        discord.url = f"http://{_reachable(host)}:{bound_port}"
        yield discord.url
    finally:
        faults.stop()
        sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await sweeper
        await gateway.close_all()
        await runner.cleanup()


def _reachable(host: str) -> str:
    """Return how a client on this host writes the address that is listened on."""
    everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    host = everywhere.get(host, host)
    return f"[{host}]" if ":" in host else host
