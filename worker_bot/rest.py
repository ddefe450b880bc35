"""Puts the guard of a worker's requests into hikari, where every attempt and every answer passes.

Like `worker_bot.session` it touches hikari's private names, for hikari has no public place for this; a contract test
pins them. What a bot's code asks of Discord without hikari is not seen.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import hikari
from hikari.impl.buckets import RESTBucketManager
from hikari.impl.rest import RESTClientImpl

from worker_bot.requests import UNAUTHORIZED, Call, HeldBackError, RequestGuard

_BOT = "Bot "
_WEBHOOK = "/webhooks/{webhook}"


class RequestHeldBackError(hikari.RateLimitTooLongError):
    """What a bot's code gets for a request that Flotilla holds back: a rate limit that is too long to wait for.

    `message` says why and what to do, `retry_after` when it may be worth a try.
    """

    def __init__(self, route: Any, why: HeldBackError) -> None:  # noqa: ANN401 - hikari's compiled route
        super().__init__(
            route=route,
            is_global=True,
            retry_after=why.retry_after_s,
            max_retry_after=0.0,
            reset_at=time.time() + why.retry_after_s,
            limit=None,
            period=None,
        )
        self.message = str(why)


class _Passage:
    """One attempt: hikari's bucket first, then the guard, so that what has waited is judged by what holds now."""

    def __init__(self, bucket: Any, guard: RequestGuard, route: Any, call: Call) -> None:  # noqa: ANN401 - hikari's
        self._bucket, self._guard, self._route, self._call = bucket, guard, route, call
        self._passing = guard.passing(call)

    async def __aenter__(self) -> None:
        try:
            await self._enter()
        except HeldBackError as why:
            _count_held_back(self._guard)
            raise RequestHeldBackError(self._route, why) from None

    async def _enter(self) -> None:
        # A waiter that is cancelled would take its place in hikari's bucket along for ever, so it goes on by itself.
        entering = asyncio.ensure_future(self._bucket.__aenter__())
        try:
            await self._guard.outlast(entering, self._call)
            await asyncio.shield(entering)
            await self._passing.__aenter__()
        except BaseException:
            entering.add_done_callback(self._give_back)
            raise

    async def __aexit__(self, *_error: object) -> None:
        await self._passing.__aexit__(None, None, None)
        self._bucket.release()

    def _give_back(self, entered: "asyncio.Future[None]") -> None:
        if not entered.cancelled() and entered.exception() is None:
            self._bucket.release()


_current: list[RequestGuard] = []


def install(guard: RequestGuard | None) -> None:
    """Let all REST clients of this process ask the guard; None: as hikari does by itself."""
    _current[:] = [] if guard is None else [guard]


def _call(compiled: Any, auth: object) -> Call:  # noqa: ANN401 - hikari's compiled route
    route = compiled.route
    owner = compiled.compiled_path.split("/")[2] if route.path_template.startswith(_WEBHOOK) else ""
    return Call(route.method, route.path_template, owner, isinstance(auth, str) and auth.startswith(_BOT))


async def _code_of(response: aiohttp.ClientResponse) -> int | None:
    """Return Discord's JSON code of an error, 0 if it has none, None if the answer is not Discord's JSON."""
    try:
        body = json.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    code = body.get("code", 0) if isinstance(body, dict) else None
    return code if isinstance(code, int) else None


def _require(compiled_route: Any, auth: object) -> None:  # noqa: ANN401 - hikari's
    for guard in _current:
        try:
            guard.require(_call(compiled_route, auth))
        except HeldBackError as why:
            _count_held_back(guard)
            raise RequestHeldBackError(compiled_route, why) from None


def _count_held_back(guard: RequestGuard) -> None:
    if guard.metrics is not None:
        guard.metrics.held_back()


def _count_unanswered(error: hikari.HTTPError) -> None:
    for guard in _current:
        if guard.metrics is not None and not isinstance(error, hikari.HTTPResponseError | hikari.RateLimitTooLongError):
            guard.metrics.unanswered()


def _patch() -> None:
    request: Callable[..., Any] = RESTClientImpl._request
    parse: Callable[..., Any] = RESTClientImpl._parse_ratelimits
    acquire: Callable[..., Any] = RESTBucketManager.acquire_bucket

    async def guarded_request(rest: RESTClientImpl, compiled_route: Any, **named: Any) -> Any:  # noqa: ANN401 - hikari's
        _require(compiled_route, named.get("auth", _BOT))
        try:
            return await request(rest, compiled_route, **named)
        except hikari.HTTPError as error:
            _count_unanswered(error)
            raise

    def acquire_bucket(manager: RESTBucketManager, compiled_route: Any, authentication: str | None) -> Any:  # noqa: ANN401
        bucket = acquire(manager, compiled_route, authentication)
        if not _current:
            return bucket
        return _Passage(bucket, _current[0], compiled_route, _call(compiled_route, authentication))

    async def parse_ratelimits(
        rest: RESTClientImpl,
        compiled_route: Any,  # noqa: ANN401 - hikari's
        authentication: str | None,
        response: aiohttp.ClientResponse,
    ) -> Any:  # noqa: ANN401
        for guard in _current:
            call = _call(compiled_route, authentication)
            code = await _code_of(response) if response.status == UNAUTHORIZED else None
            guard.answered(call, response.status, response.headers.get("X-RateLimit-Scope"), code)
        return await parse(rest, compiled_route, authentication, response)

    RESTClientImpl._request = guarded_request  # type: ignore[misc, method-assign, assignment]
    RESTClientImpl._parse_ratelimits = parse_ratelimits  # type: ignore[misc, method-assign, assignment]
    RESTBucketManager.acquire_bucket = acquire_bucket  # type: ignore[method-assign, assignment]


def guarded(client: type[RESTClientImpl]) -> Callable[..., Any]:
    """Return how hikari asks Discord, with the guard before it: what lies over it is asked first."""
    return client._request


_patch()
