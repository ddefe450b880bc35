"""Faults of REST, as a middleware within the edge: what they refuse counts as invalid like all else."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.faults import kinds
from sandbox.faults.book import FaultBook, draw
from sandbox.gateway.wire import reset_or_abort
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.rest.ratelimit import RateLimitedError, bucket_of
from sandbox.rest.shell import AT_EDGE, SOURCE, cloudflares, refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PREFIX = re.compile(r"^/api(/v[0-9]+)?(?=/)")
_WEBHOOK = re.compile(r"^/webhooks/([0-9]+)/")
_INTERACTION = re.compile(r"^/interactions/([0-9]+)/")
_REFUSALS = {
    each.code: each
    for each in (
        errors.UNAUTHORIZED,
        errors.UNAUTHORIZED_AS_DOCUMENTED,
        errors.MISSING_ACCESS,
        errors.MISSING_PERMISSIONS,
        errors.INVALID_WEBHOOK_TOKEN,
    )
}
_FROM_THE_EDGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<h1>{0}</h1>\r\n</body>\r\n</html>\r\n"
_EDGE_TITLES = {502: "502 Bad Gateway", 504: "504 Gateway Time-out"}


def rest_faults(book: FaultBook) -> Middleware:
    """Return the middleware. Faults strike in the order in which they were asked for; late answers add up."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        prefix = _PREFIX.match(request.path)
        if prefix is None or not book.holds(kinds.Rest):
            return await handler(request)
        path, now = request.path[prefix.end() :], request.app[DISCORD].clock()
        hits = list(_hits(book, request, path, now))
        await asyncio.sleep(sum(late_s for _, late_s in hits))
        for fault, _ in hits:
            if (refusal := _refusal(fault, request, path, now)) is not None:
                return refusal
        response = await handler(request)
        if any(isinstance(fault, kinds.RestTruncated) for fault, _ in hits):
            stalls = any(isinstance(fault, kinds.RestTruncated) and fault.stall for fault, _ in hits)
            return await _truncate(request, response, stalls=stalls)
        return response

    return middleware


def _hits(book: FaultBook, request: web.Request, path: str, now: float) -> Iterator[tuple[kinds.Rest, float]]:
    """Yield the faults that strike a request, each with the seconds by which it delays the answer."""
    discord = request.app[DISCORD]
    application_id = application_of(request.headers.get("Authorization", ""), path, discord)
    if application_id is not None:
        request[SOURCE] = application_id
    for entry, fault in list(book.standing(kinds.Rest, application_id, now)):
        occasion = entry.occasions(application_id)
        if fault.matches(request.method, path) and entry.hits_next(application_id):
            late_ms = 0.0
            if isinstance(fault, kinds.RestLatency):
                late_ms = fault.ms + fault.jitter_ms * draw(entry.seed, "jitter", application_id, occasion)
            yield fault, late_ms / 1000


def _refusal(fault: kinds.Rest, request: web.Request, path: str, now: float) -> web.Response | None:
    if isinstance(fault, kinds.RestError):
        return _error(fault.status)
    if isinstance(fault, kinds.RestRefused):
        return refusal(DiscordError(_REFUSALS[fault.code]))
    if isinstance(fault, kinds.Rest429):
        return _too_many(fault, request.method, path, now)
    if isinstance(fault, kinds.RestEdge429):
        request[AT_EDGE] = True
        return cloudflares(fault.retry_after_s)
    return _hang_up(request) if isinstance(fault, kinds.RestDown) else None


def application_of(authorization: str, path: str, discord: LocalDiscord) -> str | None:
    """Return the application a request belongs to: by its bot token, else by a webhook's or an interaction's path."""
    scheme, _, token = authorization.partition(" ")
    application = discord.world.authenticate(token) if scheme == "Bot" else None
    if application is not None:
        return application.id
    if (webhook := _WEBHOOK.match(path)) is not None:
        return webhook[1] if discord.world.find(webhook[1]) is not None else None
    if (used := _INTERACTION.match(path)) is not None:
        interaction = discord.interactions.find(used[1])
        return None if interaction is None else interaction.application_id
    return None


def _error(status: int) -> web.Response:
    if status in _EDGE_TITLES:
        text = _FROM_THE_EDGE.format(_EDGE_TITLES[status])
        return web.Response(status=status, text=text, content_type="text/html")
    return answer(DiscordError(errors.of_status(status)).body(), status)


def _too_many(fault: kinds.Rest429, method: str, path: str, now: float) -> web.Response:
    """Return a 429 with the headers of its scope (documented: Rate Limits)."""
    headers = {"X-RateLimit-Global": "true"} if fault.scope == "global" else {}
    if fault.scope != "global" if fault.bucket is None else fault.bucket:
        route = re.sub(r"[0-9]{15,20}", "{id}", path)
        headers |= {
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": "4" if fault.scope == "shared" else "0",
            "X-RateLimit-Reset": f"{now + fault.retry_after_s:.3f}",
            "X-RateLimit-Reset-After": f"{fault.retry_after_s:.3f}",
            "X-RateLimit-Bucket": bucket_of(method, route).id,
        }
    told = errors.RESOURCE_RATE_LIMITED if fault.scope == "shared" else errors.RATE_LIMITED
    return refusal(RateLimitedError(told, fault.retry_after_s, fault.scope, headers))


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        reset_or_abort(request.transport, reset=False)
    return web.Response()


async def _truncate(request: web.Request, response: web.StreamResponse, *, stalls: bool) -> web.StreamResponse:
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes) or not body:
        return _hang_up(request)
    begun = web.StreamResponse(status=response.status, headers=response.headers)
    begun.content_length = len(body)
    await begun.prepare(request)
    await begun.write(body[: len(body) // 2])
    if stalls:
        await _until_hung_up(request)
    if request.transport is not None:
        request.transport.close()
    return begun


async def _until_hung_up(request: web.Request) -> None:
    """Return when the client has given up, at the latest after `STALL_S`."""
    for _ in range(round(limits.STALL_S / limits.STALL_LOOK_S)):
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(limits.STALL_LOOK_S)
