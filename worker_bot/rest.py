"""Puts the guard of a worker's requests into hikari, where every attempt and every answer passes.

Like `worker_bot.session` it touches hikari's private names, for hikari has no public place for this; a contract test
pins them. What a bot's code asks of Discord without hikari is not seen.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import hikari
from hikari.impl import buckets
from hikari.impl.buckets import RESTBucketManager
from hikari.impl.rest import RESTClientImpl
from hikari.internal import routes

from flotilla.tasks import awaited
from worker_bot.first_responses import FirstResponses
from worker_bot.rate_limits import CALL_MAX_S, FIRST_RESPONSE_S, Ask, LimitedError, LimitGuard
from worker_bot.requests import TOO_MANY_REQUESTS, UNAUTHORIZED, Call, HeldBackError, RequestGuard
from worker_bot.uploads import Upload

ALREADY_ACKNOWLEDGED: Final = 40060
"""Discord, "JSON Error Codes": interaction has already been acknowledged."""

LOST_MAX: Final = 2
"""How often a request is sent again whose answer was cut off."""

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


class RateLimitedError(hikari.RateLimitTooLongError):
    """What a bot's code gets for a request that Discord limits for longer than it can wait, or refuses again and again.

    `message` says what to do, `retry_after` when it may be worth a try.
    """

    def __init__(self, route: Any, why: HeldBackError, longest_s: float) -> None:  # noqa: ANN401 - hikari's
        super().__init__(
            route=route,
            is_global=False,
            retry_after=why.retry_after_s,
            max_retry_after=longest_s,
            reset_at=time.time() + why.retry_after_s,
            limit=None,
            period=None,
        )
        self.message = str(why)


class AnswerLostError(hikari.HTTPError):
    """Discord's answer to a request was cut off, or did not come: whether it was carried out is not known."""


class _Passage:
    """One attempt: hikari's bucket first, then the guards, so that what has waited is judged by what holds now.

    bucket: None for a route without.
    """

    def __init__(self, bucket: Any, guards: "_Guards", ask: Ask) -> None:  # noqa: ANN401 - hikari's
        self._bucket, self._guards, self._ask = bucket, guards, ask
        self._is_vital = guards.requests.is_vital(ask.call)
        self._passing: contextlib.AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> None:
        if self._bucket is None:
            await self._take_turn()
            return
        # A waiter that is cancelled would take its place in hikari's bucket along for ever, so it goes on by itself.
        entering = awaited(self._bucket.__aenter__())
        try:
            await self._guards.requests.outlast(entering, self._ask.call)
            await asyncio.shield(entering)
            await self._take_turn()
        except BaseException:
            entering.add_done_callback(self._give_back)
            raise

    async def _take_turn(self) -> None:
        requests, limits, ask = self._guards.requests, self._guards.limits, self._ask
        while True:
            if limits.holds:
                await limits.turn(ask)
            if self._is_vital:
                requests.require(ask.call)
            else:
                self._passing = requests.passing(ask.call)
                await self._passing.__aenter__()
            if limits.begin(ask):
                return
            await self._leave()

    async def _leave(self) -> None:
        if self._passing is not None:
            await self._passing.__aexit__(None, None, None)
            self._passing = None

    async def __aexit__(self, *_error: object) -> None:
        self._guards.limits.ended(self._ask)
        await self._leave()
        if self._bucket is not None:
            self._bucket.release()

    def _give_back(self, entered: "asyncio.Future[None]") -> None:
        if not entered.cancelled() and entered.exception() is None:
            self._bucket.release()


@dataclass(frozen=True, slots=True)
class _Guards:
    requests: RequestGuard
    limits: LimitGuard
    firsts: FirstResponses


_current: list[_Guards] = []
_asks: ContextVar[Ask | None] = ContextVar("ask", default=None)


def install(guard: RequestGuard | None) -> None:
    """Let all REST clients of this process ask the guard; None: as hikari does by itself."""
    _current[:] = [] if guard is None else [_Guards(guard, LimitGuard(guard), FirstResponses())]


def _call(compiled: Any, auth: object) -> Call:  # noqa: ANN401 - hikari's compiled route
    route = compiled.route
    owner = compiled.compiled_path.split("/")[2] if route.path_template.startswith(_WEBHOOK) else ""
    return Call(route.method, route.path_template, owner, isinstance(auth, str) and auth.startswith(_BOT))


async def _json_of(response: aiohttp.ClientResponse) -> Any:  # noqa: ANN401
    """Return the JSON of an answer, None if it is none or was cut."""
    try:
        return json.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError):
        return None


async def _code_of(response: aiohttp.ClientResponse) -> int | None:
    """Return Discord's JSON code of an error, 0 if it has none, None if the answer is not Discord's JSON."""
    body = await _json_of(response)
    code = body.get("code", 0) if isinstance(body, dict) else None
    return code if isinstance(code, int) else None


# One call ------------------------------------------------------------------------------------------------------------


async def _guarded_request(rest: RESTClientImpl, compiled_route: Any, **named: Any) -> Any:  # noqa: ANN401 - hikari's
    if not _current:
        return await _request(rest, compiled_route, **named)
    guards = _current[0]
    interaction_id = _interaction_of(compiled_route)
    tried_s, is_first = (0.0, False) if interaction_id is None else guards.firsts.begin(interaction_id)
    elsewhere_if = interaction_id if is_first else None
    ask = _ask(guards, rest._bucket_manager, compiled_route, named.get("auth", _BOT), tried_s)
    form = named.get("form_builder")
    if form is not None and form._resources:
        named["form_builder"] = Upload(form)
    before = _asks.set(ask)
    try:
        guards.requests.require(ask.call)
        if interaction_id is not None:  # its waits are bounded by its deadline, and it is never repeated
            return await _until_answered(rest, compiled_route, named)
        return await _within(CALL_MAX_S, _until_answered(rest, compiled_route, named), compiled_route)
    except LimitedError as why:
        _count_held_back(guards.requests)
        raise RateLimitedError(compiled_route, why, ask.longest_s) from None
    except HeldBackError as why:
        _count_held_back(guards.requests)
        raise RequestHeldBackError(compiled_route, why) from None
    except hikari.HTTPError as error:
        _count_unanswered(guards.requests, error)
        _tell_if_elsewhere(guards, ask, elsewhere_if, error)
        raise
    finally:
        _asks.reset(before)


async def _within(seconds: float, call: Awaitable[Any], compiled_route: Any) -> Any:  # noqa: ANN401 - hikari's
    try:
        async with asyncio.timeout(seconds) as bound:
            return await call
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise AnswerLostError(f"{compiled_route.route} took longer than {seconds:.0f} s and was given up.") from error


def _interaction_of(compiled_route: Any) -> int | None:  # noqa: ANN401
    """Return the interaction to which a request is the first response, None if it is another one."""
    if compiled_route.route is not routes.POST_INTERACTION_RESPONSE:
        return None
    return int(compiled_route.compiled_path.split("/")[2])


def _tell_if_elsewhere(guards: _Guards, ask: Ask, interaction_id: int | None, error: hikari.HTTPError) -> None:
    """Tell of an interaction that somebody else answered. interaction_id: None if this process has tried it before.

    A try before this one may have been taken though its answer was lost: then it was this process.
    """
    if interaction_id is None or ask.attempts > 1 or not is_answered_already(error):
        return
    if guards.firsts.is_of_our_time(interaction_id):
        guards.requests.answered_elsewhere()


def is_answered_already(error: BaseException) -> bool:
    """Return whether Discord refused the first response to an interaction that has one."""
    return isinstance(error, hikari.BadRequestError) and error.code == ALREADY_ACKNOWLEDGED


def _ask(
    guards: _Guards,
    buckets: RESTBucketManager,
    compiled_route: Any,  # noqa: ANN401
    auth: object,
    tried_s: float = 0.0,
) -> Ask:
    """Return a call that is to be made now. tried_s: since its first try by another call."""
    is_first_response = compiled_route.route is routes.POST_INTERACTION_RESPONSE
    within_s = FIRST_RESPONSE_S - tried_s if is_first_response else CALL_MAX_S
    call, resource = _call(compiled_route, auth), compiled_route.major_param_hash
    return guards.limits.ask(call, resource, buckets.max_rate_limit, within_s=within_s)


async def _until_answered(rest: RESTClientImpl, compiled_route: Any, named: dict[str, Any]) -> Any:  # noqa: ANN401
    """Ask until there is a whole answer, as far as asking twice does no harm. Raises AnswerLostError."""
    method = compiled_route.route.method
    for lost in itertools.count(1):
        try:
            return await _request(rest, compiled_route, **named)
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            if lost > LOST_MAX or not _is_repeatable(method, named):
                raise AnswerLostError(
                    f"Discord's answer to {compiled_route.route} was cut off or did not come ({type(error).__name__}). "
                    "It may have been carried out: look before you send it again."
                ) from error
        except hikari.NotFoundError:
            if lost > 1 and method == "DELETE":
                return None  # the lost answer was to the request that deleted it
            raise
        await asyncio.sleep(random.uniform(0.5, 1) * 2 ** (lost - 1))  # noqa: S311 - jitter
    raise AssertionError("unreachable")


def _is_repeatable(method: str, named: dict[str, Any]) -> bool:
    """Return whether a request that was carried out may be sent again: it sets or reads, or Discord knows it again."""
    body = named.get("json")
    return method != "POST" or (isinstance(body, dict) and body.get("enforce_nonce") is True)


def _count_held_back(guard: RequestGuard) -> None:
    if guard.metrics is not None:
        guard.metrics.held_back()


def _count_unanswered(guard: RequestGuard, error: hikari.HTTPError) -> None:
    if guard.metrics is not None and not isinstance(error, hikari.HTTPResponseError | hikari.RateLimitTooLongError):
        guard.metrics.unanswered()


# One attempt ---------------------------------------------------------------------------------------------------------


def _acquire_bucket(manager: RESTBucketManager, compiled_route: Any, authentication: str | None) -> Any:  # noqa: ANN401
    unlimited = compiled_route.route in _UNLIMITED
    if not _current:
        return contextlib.nullcontext() if unlimited else _acquire(manager, compiled_route, authentication)
    bucket = None if unlimited else _acquire(manager, compiled_route, authentication)
    ask = _asks.get() or _ask(_current[0], manager, compiled_route, authentication)
    return _Passage(bucket, _current[0], ask)


async def _parse_ratelimits(
    rest: RESTClientImpl,
    compiled_route: Any,  # noqa: ANN401 - hikari's
    authentication: str | None,
    response: aiohttp.ClientResponse,
) -> float | None:
    ask = _asks.get()
    if not _current or ask is None:
        waited: float | None = await _parse(rest, compiled_route, authentication, response)
        return waited
    guards, status = _current[0], response.status
    code = await _code_of(response) if status == UNAUTHORIZED else None
    guards.requests.answered(ask.call, status, response.headers.get("X-RateLimit-Scope"), code)
    if compiled_route.route not in _UNLIMITED:
        with contextlib.suppress(ValueError, ArithmeticError):  # headers that are no numbers
            await _parse(rest, compiled_route, authentication, _Headers(response.headers))
    if status != TOO_MANY_REQUESTS:
        guards.limits.passed(ask)
        return None
    return guards.limits.refused(ask, response.headers, await _json_of(response))


class _Headers:
    """An answer as far as hikari is to see it: it learns of its buckets by it, and takes it for no 429."""

    status = 200

    def __init__(self, headers: Any) -> None:  # noqa: ANN401
        self.headers = headers


def _unknown_bucket(route: Any, authentication_hash: str) -> str:  # noqa: ANN401 - hikari's compiled route
    """Return the name of a bucket that is not known yet: one for each channel, guild or webhook.

    hikari has one for all of a route, so whoever waits in it waits for the limit of whoever was first.
    """
    return f"{_name_unknown(route, authentication_hash)};{route.major_param_hash}"


_request: Callable[..., Any] = RESTClientImpl._request
_parse: Callable[..., Any] = RESTClientImpl._parse_ratelimits
_acquire: Callable[..., Any] = RESTBucketManager.acquire_bucket
_name_unknown: Callable[..., str] = buckets._create_unknown_hash

_UNLIMITED: Final = tuple(
    route for route in vars(routes).values() if isinstance(route, routes.Route) and not route.has_ratelimits
)
"""Routes for which hikari asks for no bucket, and so for no leave either: they pass the guards like all others."""

for _route in _UNLIMITED:
    _route.has_ratelimits = True

RESTClientImpl._request = _guarded_request  # type: ignore[misc, method-assign, assignment]
RESTClientImpl._parse_ratelimits = _parse_ratelimits  # type: ignore[misc, method-assign, assignment]
RESTBucketManager.acquire_bucket = _acquire_bucket  # type: ignore[method-assign, assignment]
buckets._create_unknown_hash = _unknown_bucket


def guarded(client: type[RESTClientImpl]) -> Callable[..., Any]:
    """Return how hikari asks Discord, with the guard before it: what lies over it is asked first."""
    return client._request
