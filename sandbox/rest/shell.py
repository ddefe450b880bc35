"""What every REST route shares: who calls, rate limits, Discord's error bodies."""

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.oauth2.grants import Authorization
from sandbox.rest.ratelimit import Bucket, RateLimitedError, bucket_of
from sandbox.world.applications import Application
from sandbox.world.users import User

PREFIX = f"/api/v{limits.API_VERSION}"
PREFIXES = ("/api", *(f"/api/v{version}" for version in limits.API_VERSIONS))  # all answer alike
_SNOWFLAKE = re.compile(r"(0|[1-9][0-9]{0,19})")
_PARAMETER = re.compile(r"\{([^}]*)\}")
_CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")  # documented
_BEARER = "Bearer "
UNKNOWN = "unknown"
SOURCE: web.RequestKey[str] = web.RequestKey("source", str)  # the application that a request is of
AT_EDGE: web.RequestKey[bool] = web.RequestKey("at_edge", bool)  # set: Cloudflare answers, not Discord behind it

Respond = Callable[[], Awaitable[web.Response]]
Handler = Callable[[web.Request, LocalDiscord, Application], Awaitable[web.Response]]
TokenHandler = Callable[[web.Request, LocalDiscord], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an application's bot, or with `authorization` the application on behalf of a user."""

    application: Application
    authorization: Authorization | None = None

    @property
    def user(self) -> User:
        """The user whose view the call has."""
        return self.application.bot if self.authorization is None else self.authorization.user

    def has(self, scope: str) -> bool:
        """Return whether the call may do what the scope allows; a bot may."""
        return self.authorization is None or scope in self.authorization.scopes


CallerHandler = Callable[[web.Request, LocalDiscord, Caller], Awaitable[web.Response]]


class _Plan:
    """What is known of a route before a request comes: its bucket, its ids, its top-level resource."""

    def __init__(self, method: str, path: str) -> None:
        self.bucket: Bucket = bucket_of(method, path)
        names = _PARAMETER.findall(path)
        self._ids = tuple(name for name in names if name.endswith("_id"))
        # documented: channels, guilds, and webhooks with their token
        wide = names[:2] if path.startswith("/webhooks/") else []
        self._top_level = tuple(wide or [name for name in names if name in {"channel_id", "guild_id"}][:1])

    def check(self, request: web.Request) -> None:
        """Raise DiscordError for an id that is none, and for a body that is too large or of a wrong type."""
        values = request.match_info
        for name in self._ids:
            if not _SNOWFLAKE.fullmatch(values[name]) and values[name] != "@original":
                faults = FieldFaults()
                faults.add((name,), "NUMBER_TYPE_COERCE", f'Value "{values[name]}" is not snowflake.')
                faults.raise_if_any()
        if request.body_exists:
            check_body(request, _CONTENT_TYPES)

    def resource(self, request: web.Request) -> str:
        """Return the value of the top-level resource, "" if the path has none."""
        return "/".join([request.match_info[name] for name in self._top_level])

    async def run(self, request: web.Request, caller: str, global_caller: str | None, respond: Respond) -> web.Response:
        """Spend the request's limits and respond. Raises DiscordError if a limit refuses it.

        global_caller: who spends the global limit, None if the route is exempt.
        """
        discord = request.app[DISCORD]
        now = discord.clock()
        if global_caller is not None:
            discord.rate_limiter.spend_global(global_caller, now)
        headers = discord.rate_limiter.spend(caller, self.bucket, self.resource(request), now)
        try:
            response = await respond()
        except DiscordError as error:
            response = refusal(error)
        response.headers.update(headers)
        return response


def check_body(request: web.Request, content_types: Iterable[str]) -> None:
    """Raise DiscordError 40005 for a body that is too large, 50035 for one of another type."""
    if request.content_length is not None and request.content_length > limits.REQUEST_MAX_BYTES:
        raise DiscordError(errors.TOO_LARGE)
    if request.content_type not in content_types:
        names = ", ".join(repr(name) for name in content_types)
        message = f'Expected "Content-Type" header to be one of {{{names}}}.'
        fault = {"_errors": [{"code": "CONTENT_TYPE_INVALID", "message": message}]}
        raise DiscordError(errors.INVALID_FORM_BODY, fault)


def _bot(request: web.Request) -> Application | None:
    return request.app[DISCORD].credentials.application_of(request.headers.get("Authorization", ""))


def _unauthorized(request: web.Request) -> DiscordError:
    """Return the 401 for a missing, bad or reset token; keep whose it claims to be."""
    claimed = request.app[DISCORD].credentials.claimed(request.headers.get("Authorization", ""))
    request[SOURCE] = claimed or UNKNOWN
    return DiscordError(errors.UNAUTHORIZED)


def bot_route(method: str, path: str, handler: Handler) -> web.RouteDef:
    """Return a route that a bot's token opens; `path` follows the prefix."""
    plan = _Plan(method, path)

    async def handle(request: web.Request) -> web.Response:
        application = _bot(request)
        if application is None:
            raise _unauthorized(request)
        request[SOURCE] = application.id
        plan.check(request)
        discord = request.app[DISCORD]
        return await plan.run(request, application.id, application.id, lambda: handler(request, discord, application))

    return web.route(method, PREFIX + path, handle)


def caller_route(
    method: str, path: str, handler: CallerHandler, *, scope: str | None, bots: bool = True
) -> web.RouteDef:
    """Return a route that an access token with `scope` opens (None: any access token), and with `bots` a bot's too."""
    plan = _Plan(method, path)

    async def handle(request: web.Request) -> web.Response:
        caller = _caller(request)
        if (caller.authorization is None and not bots) or (scope is not None and not caller.has(scope)):
            raise DiscordError(errors.UNAUTHORIZED)  # observed: 401 also for a good token that may not do this
        plan.check(request)
        discord, spender = request.app[DISCORD], caller.application.id
        if caller.authorization is not None:
            spender = f"authorization {caller.authorization.id}"
        return await plan.run(request, spender, spender, lambda: handler(request, discord, caller))

    return web.route(method, PREFIX + path, handle)


def _caller(request: web.Request) -> Caller:
    discord, header = request.app[DISCORD], request.headers.get("Authorization", "")
    application, authorization = _bot(request), None
    if header.startswith(_BEARER):
        authorization = discord.oauth2.grants.find(header.removeprefix(_BEARER), discord.clock())
        application = None if authorization is None else discord.world.find(authorization.application_id)
    if application is None:
        raise _unauthorized(request)
    request[SOURCE] = application.id
    return Caller(application, authorization)


def token_route(method: str, path: str, handler: TokenHandler, *, limited: bool) -> web.RouteDef:
    """Return a route that the token in its path opens: an interaction's or a webhook's.

    limited: whether rate limits apply. The webhooks of interactions are exempt from the global limit (documented);
    other webhooks spend that of the IP address.
    """
    plan = _Plan(method, path)
    owner = next((name for name in ("application_id", "webhook_id") if f"{{{name}}}" in path), None)

    async def handle(request: web.Request) -> web.Response:
        discord = request.app[DISCORD]
        plan.check(request)
        application = discord.world.find(request.match_info[owner]) if owner is not None else None
        if application is not None:
            request[SOURCE] = application.id
        if not limited:
            return await handler(request, discord)
        global_caller = None if application is not None else request.remote or UNKNOWN
        return await plan.run(request, "", global_caller, lambda: handler(request, discord))

    return web.route(method, PREFIX + path, handle)


def open_route(method: str, path: str, handler: TokenHandler, *, bucketed: bool = True) -> web.RouteDef:
    """Return a route that needs no bot's token; its limits are those of the IP address.

    bucketed: whether it has a bucket, or only the global limit and no rate-limit headers.
    """
    plan = _Plan(method, path)

    async def handle(request: web.Request) -> web.Response:
        discord, address = request.app[DISCORD], request.remote or UNKNOWN
        if bucketed:
            return await plan.run(request, address, address, lambda: handler(request, discord))
        discord.rate_limiter.spend_global(address, discord.clock())
        return await handler(request, discord)

    return web.route(method, PREFIX + path, handle)


def cloudflares(left_s: float) -> web.Response:
    """Return what Cloudflare answers whom it holds off: no JSON, no rate-limit headers, no Via."""
    headers = {"Retry-After": str(max(1, math.ceil(left_s))), "Server": "cloudflare"}
    return web.Response(text="error code: 1015", status=429, headers=headers)


def refusal(error: DiscordError) -> web.Response:
    """Return the answer to a request that Discord refuses."""
    return answer(error.body(), error.fault.status, error.headers if isinstance(error, RateLimitedError) else None)
