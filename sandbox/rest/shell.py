"""What every REST route shares: authentication, rate limits, Discord's error bodies, the record of unknown routes."""

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import errors
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.messages.messages import timestamp
from sandbox.world.world import Application

PREFIX = "/api/v10"
_TOP_LEVEL = ("channel_id", "guild_id", "token")  # documented: Rate Limits, top-level resources
_SNOWFLAKE = re.compile(r"^(0|[1-9][0-9]{0,19})$")
Handler = Callable[[web.Request, LocalDiscord, Application], Awaitable[web.Response]]
TokenHandler = Callable[[web.Request, LocalDiscord], Awaitable[web.Response]]


def bot_route(method: str, path: str, handler: Handler) -> web.RouteDef:
    """Return a route that a bot's token opens; `path` follows the prefix."""

    async def handle(request: web.Request) -> web.Response:
        discord = request.app[DISCORD]
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        application = discord.world.authenticate(token) if scheme == "Bot" else None
        if application is None:
            raise DiscordError(errors.UNAUTHORIZED)
        check_ids(request)
        return await _limited(request, path, application.id, lambda: handler(request, discord, application))

    return web.route(method, PREFIX + path, handle)


def token_route(method: str, path: str, handler: TokenHandler, *, limited: bool) -> web.RouteDef:
    """Return a route that the interaction token in its path opens; `limited` says whether rate limits apply."""

    async def handle(request: web.Request) -> web.Response:
        discord = request.app[DISCORD]
        check_ids(request)
        if not limited:
            return await handler(request, discord)
        owner = request.match_info["application_id"]
        return await _limited(request, path, owner, lambda: handler(request, discord))

    return web.route(method, PREFIX + path, handle)


async def _limited(
    request: web.Request, path: str, application_id: str, respond: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    discord = request.app[DISCORD]
    resource = next((request.match_info[name] for name in _TOP_LEVEL if name in request.match_info), "")
    decision = discord.rate_limiter.decide(application_id, request.method, path, resource, discord.clock())
    if decision.retry_after_s:
        return answer(decision.body(), 429, decision.headers)
    try:
        response = await respond()
    except DiscordError as error:
        response = answer(error.body(), error.fault.status)
    response.headers.update(decision.headers)
    return response


def check_ids(request: web.Request) -> None:
    """Raise DiscordError 50035 if an id in the path is not one."""
    faults = FieldFaults()
    for name, value in request.match_info.items():
        if name.endswith("_id") and not _SNOWFLAKE.match(value) and value != "@original":
            faults.add((name,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
    faults.raise_if_any()


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer errors as Discord does, and record requests for routes the sandbox does not have."""
    if not request.path.startswith("/api/"):
        return await handler(request)
    try:
        return await handler(request)
    except DiscordError as error:
        return answer(error.body(), error.fault.status)
    except web.HTTPException as error:
        if error.status in {404, 405}:
            discord = request.app[DISCORD]
            at = timestamp(discord.clock())
            discord.unknown.append({"at": at, "method": request.method, "path": request.path, "status": error.status})
        return answer(DiscordError(errors.of_status(error.status)).body(), error.status)
