"""What stands before all REST routes: banned addresses, errors as JSON, the count of invalid requests."""

import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.http import DISCORD
from sandbox.rest.addresses import INVALID_STATUSES
from sandbox.rest.shell import AT_EDGE, SOURCE, UNKNOWN, cloudflares, refusal
from sandbox.world.objects import timestamp
from sandbox.world.world import WorldFullError

_VERSION = re.compile(r"^/api/v([0-9]+)(/|$)")


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer errors as Discord does, count invalid requests, and record those for routes the sandbox does not have."""
    if not request.path.startswith("/api/"):
        return await _safe(request, handler)
    discord, address = request.app[DISCORD], request.remote or UNKNOWN
    banned_for_s = discord.addresses.banned_for_s(address, discord.clock())
    if banned_for_s:
        return cloudflares(banned_for_s)
    response: web.StreamResponse
    try:
        response = await _safe(request, handler)
    except DiscordError as error:
        response = refusal(error)
    except web.HTTPException as error:
        response = refusal(DiscordError(_fault(request, error.status)))
    headers = response.headers
    if response.status in INVALID_STATUSES and headers.get("X-RateLimit-Scope") != "shared":
        discord.addresses.invalid(address, request.get(SOURCE, UNKNOWN), response.status, discord.clock())
    headers["Server"] = "cloudflare"
    if AT_EDGE not in request:
        headers["Via"] = "1.1 google"  # observed; its absence tells clients that Cloudflare answered
    return response


async def _safe(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer a 500 where the sandbox itself fails, and keep the error. Refusals and a client's hanging up pass."""
    try:
        return await handler(request)
    except (DiscordError, web.HTTPException, ConnectionError):
        raise
    except WorldFullError:
        return refusal(DiscordError(errors.of_status(503)))
    except (HttpProcessingError, web.RequestPayloadError):  # the body is not coded as its headers say
        return refusal(DiscordError(errors.of_status(400)))
    except Exception as error:  # noqa: BLE001 - Discord answers a 500 whatever it was; failures keeps and logs it
        discord = request.app[DISCORD]
        discord.failures.record(f"{request.method} {request.path}", error, discord.clock())
        return refusal(DiscordError(errors.SERVER_ERROR))


def _fault(request: web.Request, status: int) -> errors.Fault:
    version = _VERSION.match(request.path)
    if status == errors.NOT_FOUND.status and version and int(version[1]) not in limits.API_VERSIONS:
        return errors.INVALID_API_VERSION
    if status in {404, 405}:
        discord = request.app[DISCORD]
        at = timestamp(discord.clock())
        discord.unknown.append({"at": at, "method": request.method, "path": request.path, "status": status})
    return errors.TOO_LARGE if status == errors.TOO_LARGE.status else errors.of_status(status)
