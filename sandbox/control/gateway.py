"""Control calls about the gateway's limits for one application, and heartbeats that the server asks for."""

import msgspec
from aiohttp import web

from sandbox.control.door import ControlError
from sandbox.control.shell import application_of, read_body
from sandbox.http import DISCORD, answer


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/gateway; what is left out stays as it is."""

    max_concurrency: int | None = None
    shard_guilds_max: int | None = None
    shards: int | None = None


async def set_limits(request: web.Request) -> web.Response:
    """Set how many shards are recommended and may identify at once, and how many guilds one may serve (4011 above)."""
    application, body = application_of(request), await read_body(request, Limits)
    starts = application.starts
    if body.max_concurrency is not None:
        if body.max_concurrency < 1:
            raise ControlError(422, "invalid_concurrency", "max_concurrency must be at least 1.")
        starts.max_concurrency = body.max_concurrency
    if body.shard_guilds_max is not None:
        if body.shard_guilds_max < 0:
            raise ControlError(422, "invalid_guilds", "shard_guilds_max must not be negative.")
        starts.shard_guilds_max = body.shard_guilds_max
    if body.shards is not None:
        if body.shards < 1:
            raise ControlError(422, "invalid_shards", "shards must be at least 1.")
        starts.shards = body.shards
    names = ("max_concurrency", "shard_guilds_max", "shards")
    return answer({name: getattr(starts, name) for name in names})


async def heartbeat(request: web.Request) -> web.Response:
    """Ask the application's connections for a heartbeat at once (op 1)."""
    clients = request.app[DISCORD].sessions.clients_of(application_of(request).id)
    for client in clients:
        client.request_heartbeat()
    return answer({"asked": len(clients)})


_APPLICATION = "/sandbox/applications/{application_id}"
ROUTES = [web.post(f"{_APPLICATION}/gateway", set_limits), web.post(f"{_APPLICATION}/heartbeat", heartbeat)]
