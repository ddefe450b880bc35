"""The guard of a worker's requests sees what hikari really asks, and counts as Discord does."""

import asyncio
import inspect
from collections.abc import AsyncIterator

import hikari
import pytest
from hikari.api import RESTClient
from hikari.impl.buckets import RESTBucketManager

from flotilla.domain.requests import Brake
from flotilla.protocol import RequestLimits
from tests.contract.sandbox.conftest import Sandbox
from worker_bot import callbacks
from worker_bot import rest as seam
from worker_bot.requests import DEAD_TOKEN_AFTER, UNDER_WAY_MAX, RequestGuard
from worker_bot.triage import reason_of

ROUTE_SEND = "POST /channels/{channel}/messages"


@pytest.fixture
async def guard() -> AsyncIterator[RequestGuard]:
    guard = RequestGuard()
    guard.starting = False
    seam.install(guard)
    yield guard
    seam.install(None)


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[tuple[RESTClient, str, int]]:
    """A real REST client of a bot, its application, and its channel."""
    application_id, token = await sandbox.application()
    home = await sandbox.control("GET", f"/applications/{application_id}")
    app = hikari.RESTApp(url=f"{sandbox.url}/api/v10")
    await app.start()
    async with app.acquire(token, hikari.TokenType.BOT) as client:
        yield client, application_id, int(home["channel_id"])
    await app.close()


Bot = tuple[RESTClient, str, int]


def counted(guard: RequestGuard) -> int:
    guard.tell_all()
    told = guard.news()
    return sum(count for _, count in told.bins) if told else 0


async def sandbox_counted(sandbox: Sandbox) -> int:
    items = (await sandbox.control("GET", "/addresses"))["items"]
    return sum(item["invalid_requests"] for item in items)


async def strike(sandbox: Sandbox, **fault: object) -> None:
    status, answer = await sandbox.call("POST", "/sandbox/faults", fault)
    assert status == 201, answer


async def ask(client: RESTClient, channel_id: int) -> str:
    try:
        await client.create_message(channel_id, "hello")
    except hikari.HikariError as error:
        return type(error).__name__
    return "sent"


@pytest.mark.parametrize(
    "fault",
    [{"kind": "rest_refused", "code": code} for code in (0, 40001, 50001, 50013, 50027)]
    + [{"kind": "rest_429", "scope": scope, "retry_after_s": 0.05} for scope in ("user", "global", "shared")]
    + [{"kind": "rest_error", "status": 502}],
    ids=lambda fault: f"{fault['kind']} {list(fault.values())[1]}",
)
async def test_our_count_is_discords_count(
    sandbox: Sandbox, guard: RequestGuard, bot: Bot, fault: dict[str, object]
) -> None:
    client, _, channel_id = bot
    await strike(sandbox, **fault, for_s=0.5, route="* /channels")
    await asyncio.gather(*(ask(client, channel_id) for _ in range(3)), return_exceptions=True)
    ours, discords = counted(guard), await sandbox_counted(sandbox)
    assert ours == discords
    if fault["kind"] == "rest_error" or fault.get("scope") == "shared":
        assert ours == 0
    else:
        assert ours > 0
        assert guard.most.endswith(ROUTE_SEND)


async def test_limits_of_the_routes_themselves_are_counted_alike(
    sandbox: Sandbox, guard: RequestGuard, bot: Bot
) -> None:
    client, application_id, channel_id = bot
    await asyncio.gather(*(ask(client, channel_id) for _ in range(4)), ask(client, 1), ask(client, 2))
    webhook = await client.create_webhook(channel_id, "hook")
    with pytest.raises(hikari.UnauthorizedError) as caught:
        await client.execute_webhook(webhook.id, "not-its-token", "hello")
    assert caught.value.code == 50027
    assert counted(guard) == await sandbox_counted(sandbox) > 0
    assert not guard.token_refused.is_set()
    assert application_id


async def test_request_that_is_held_back_never_leaves_and_raises_what_bots_handle(
    sandbox: Sandbox, guard: RequestGuard, bot: Bot
) -> None:
    client, _, channel_id = bot
    guard.obey(RequestLimits(Brake.VITAL))
    await strike(sandbox, kind="rest_refused", code=50013)
    with pytest.raises(hikari.RateLimitTooLongError, match="only vital requests pass") as caught:
        await client.create_message(channel_id, "hello")
    assert isinstance(caught.value, hikari.HTTPError)
    assert caught.value.retry_after > 0
    assert reason_of(caught.value) == "request_budget"
    assert await sandbox_counted(sandbox) == 0
    with pytest.raises(hikari.ForbiddenError):  # the fault strikes: it was let through
        await client.fetch_gateway_bot_info()


async def test_requests_that_wait_for_their_bucket_are_held_back_too(
    sandbox: Sandbox, guard: RequestGuard, bot: Bot
) -> None:
    client, _, channel_id = bot
    await strike(sandbox, kind="rest_refused", code=50013)
    await strike(sandbox, kind="rest_latency", ms=20)
    asking = [asyncio.create_task(ask(client, channel_id)) for _ in range(60)]
    async with asyncio.timeout(10):
        while not counted(guard):  # noqa: ASYNC110 - the guard tells nobody else here
            await asyncio.sleep(0.005)
    guard.obey(RequestLimits(quarantined=True))
    outcomes = await asyncio.gather(*asking)
    assert set(outcomes) == {"ForbiddenError", "RequestHeldBackError"}
    assert outcomes.count("ForbiddenError") == await sandbox_counted(sandbox) == counted(guard) <= 10


@pytest.mark.parametrize("code", [0, 40001])
async def test_dead_token_costs_what_was_under_way_and_a_handful(
    sandbox: Sandbox, guard: RequestGuard, bot: Bot, code: int
) -> None:
    client, _, channel_id = bot
    await ask(client, channel_id)
    await strike(sandbox, kind="rest_refused", code=code)
    outcomes = await asyncio.gather(*(ask(client, number) for _ in range(10) for number in range(1, 11)))
    assert guard.token_refused.is_set()
    assert outcomes.count("UnauthorizedError") == await sandbox_counted(sandbox) <= UNDER_WAY_MAX + DEAD_TOKEN_AFTER
    with pytest.raises(hikari.RateLimitTooLongError, match="token"):
        await client.fetch_my_user()


async def test_cancelled_request_leaves_its_place_to_the_next(sandbox: Sandbox, guard: RequestGuard, bot: Bot) -> None:
    client, _, channel_id = bot
    guard.obey(RequestLimits(Brake.SLOW, slow_per_s=5))
    await ask(client, channel_id)
    waiting = asyncio.create_task(ask(client, channel_id))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    guard.obey(RequestLimits())
    assert await asyncio.wait_for(ask(client, channel_id), 5) == "sent"
    assert (await sandbox.control("GET", "/unknown"))["items"] == []


def test_hikari_passes_every_attempt_and_every_answer_through_what_the_guard_replaces() -> None:
    assert hikari.__version__.startswith("2.6.")
    source = inspect.getsource(hikari.impl.rest)
    assert source.count("self._client_session.request(") == 1
    assert "self._bucket_manager.acquire_bucket(compiled_route, auth)" in source
    assert "await self._parse_ratelimits(compiled_route, auth, response)" in source
    assert callbacks._request.__module__ == RESTBucketManager.acquire_bucket.__module__ == seam.__name__


async def test_without_a_guard_hikari_is_as_it_is(sandbox: Sandbox, bot: Bot) -> None:
    client, _, channel_id = bot
    assert await ask(client, channel_id) == "sent"
    await strike(sandbox, kind="rest_refused", code=50013)
    assert await ask(client, channel_id) == "ForbiddenError"
