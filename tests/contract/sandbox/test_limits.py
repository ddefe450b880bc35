"""Limits on real sockets: what is refused, by whom, and with which headers."""

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientResponse, web

from sandbox.http import DISCORD, answer
from sandbox.limits import CHANNEL_RENAME as RENAME_QUOTA
from sandbox.local_discord import LocalDiscord
from sandbox.rest.edge import errors_as_json
from sandbox.rest.ratelimit import CHANNEL_RENAME, bucket_of
from sandbox.rest.shell import bot_route, caller_route, open_route, token_route
from sandbox.server import REST_ROUTES
from sandbox.world.applications import Application
from tests.contract.sandbox.conftest import Sandbox

NEIGHBOUR = "127.0.0.2"  # another host, as far as the sandbox can tell


@pytest.fixture
async def neighbour() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(local_addr=(NEIGHBOUR, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def get(
    sandbox: Sandbox, path: str, token: str = "", http: aiohttp.ClientSession | None = None
) -> ClientResponse:
    headers = {"Authorization": f"Bot {token}"} if token else {}
    async with (http or sandbox.http).get(f"{sandbox.url}/api{path}", headers=headers) as response:
        await response.read()
        return response


async def address(sandbox: Sandbox, name: str) -> dict[str, Any]:
    items = (await sandbox.control("GET", "/addresses"))["items"]
    return next((item for item in items if item["address"] == name), {})


async def test_answers_come_through_cloudflare_and_google(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    for response in (await get(sandbox, "/v10/users/@me", token), await get(sandbox, "/v10/users/@me")):
        assert (response.headers["Via"], response.headers["Server"]) == ("1.1 google", "cloudflare")


@pytest.mark.parametrize("prefix", ["/v10", "/v9", ""])
async def test_available_versions_and_none_answer(sandbox: Sandbox, prefix: str) -> None:
    application_id, token = await sandbox.application()
    response = await get(sandbox, f"{prefix}/users/@me", token)
    assert (await response.json())["id"] == application_id


@pytest.mark.parametrize("version", ["5", "8", "11"])
async def test_other_versions_are_refused(sandbox: Sandbox, version: str) -> None:
    response = await get(sandbox, f"/v{version}/users/@me")
    assert (response.status, await response.json()) == (400, {"message": "Invalid API version", "code": 50041})


async def test_fifty_requests_in_a_second_are_the_bots_and_not_the_addresss(sandbox: Sandbox) -> None:
    _, first = await sandbox.application("first")
    _, second = await sandbox.application("second")
    await sandbox.control("POST", "/limits", {"routes": False})
    statuses = [await get(sandbox, "/v10/users/@me", first) for _ in range(51)]
    assert [response.status for response in statuses[:50]] == [200] * 50
    assert statuses[50].status == 429
    assert statuses[50].headers["X-RateLimit-Global"] == "true"
    assert (await get(sandbox, "/v10/users/@me", second)).status == 200


async def test_unauthorized_requests_are_kept_by_address_application_and_status(
    sandbox: Sandbox, neighbour: aiohttp.ClientSession
) -> None:
    application_id, token = await sandbox.application()
    await sandbox.control("POST", f"/applications/{application_id}/token-reset")
    await get(sandbox, "/v10/users/@me", token)
    await get(sandbox, "/v10/users/@me", token, neighbour)
    await get(sandbox, "/v10/users/@me", "", neighbour)
    await get(sandbox, f"/v10/webhooks/{application_id}/token/messages/@original", "", neighbour)
    assert (await address(sandbox, "127.0.0.1"))["by_application"] == {application_id: {"401": 1}}
    kept = await address(sandbox, NEIGHBOUR)
    assert kept["by_application"] == {application_id: {"401": 2}, "unknown": {"401": 1}}
    assert (kept["invalid_requests"], kept["limit"], kept["banned_until"]) == (3, 10_000, None)


async def test_requests_refused_by_a_bucket_count_as_invalid(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    for _ in range(7):
        await get(sandbox, "/v10/gateway/bot", token)
    assert (await address(sandbox, "127.0.0.1"))["by_application"] == {application_id: {"429": 2}}


async def test_address_past_its_budget_gets_cloudflares_answer_and_others_do_not(
    sandbox: Sandbox, neighbour: aiohttp.ClientSession
) -> None:
    _, token = await sandbox.application()
    await sandbox.control("POST", f"/addresses/{NEIGHBOUR}", {"invalid_requests": 9_999})
    assert (await get(sandbox, "/v10/users/@me", token, neighbour)).status == 200
    assert (await get(sandbox, "/v10/users/@me", "wrong", neighbour)).status == 401
    banned = await get(sandbox, "/v10/users/@me", token, neighbour)
    assert (banned.status, banned.content_type, await banned.text()) == (429, "text/plain", "error code: 1015")
    assert 3_590 < int(banned.headers["Retry-After"]) <= 3_600
    assert not [name for name in banned.headers if name.startswith("X-RateLimit") or name == "Via"]
    assert (await address(sandbox, NEIGHBOUR))["banned_until"]
    assert (await get(sandbox, "/v10/users/@me", token)).status == 200
    await sandbox.control("POST", f"/addresses/{NEIGHBOUR}", {"ban_s": None})
    assert (await get(sandbox, "/v10/users/@me", token, neighbour)).status == 200


async def test_budget_and_ban_can_be_set(sandbox: Sandbox, neighbour: aiohttp.ClientSession) -> None:
    await sandbox.control("POST", "/limits", {"invalid_requests_max": 3, "ban_s": 0.05})
    statuses = [(await get(sandbox, "/v10/users/@me", "", neighbour)).status for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    while (status := (await get(sandbox, "/v10/users/@me", "", neighbour)).status) == 429:
        pass
    assert status == 401
    await sandbox.control("POST", f"/addresses/{NEIGHBOUR}", {"ban_s": 60.0})
    assert (await get(sandbox, "/v10/gateway", "", neighbour)).status == 429
    await sandbox.control("POST", "/limits", {"invalid_requests": False})
    assert (await get(sandbox, "/v10/gateway", "", neighbour)).status == 200


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/limits", {"ban_s": 0}, "invalid_limit"),
        ("/limits", {"routes": 1}, "invalid_body"),
        ("/limits", {"more": 1}, "invalid_body"),
        ("/addresses/nowhere", {"ban_s": 1}, "invalid_address"),
        ("/addresses/127.0.0.9", {"ban_s": -1}, "invalid_limit"),
        ("/addresses/127.0.0.9", {"invalid_requests": -1}, "invalid_limit"),
    ],
)
async def test_bad_change_of_limits_gets_a_clear_error(sandbox: Sandbox, path: str, body: Any, code: str) -> None:
    status, error = await sandbox.call("POST", f"/sandbox{path}", body)
    assert (status, error["error"]["code"]) == (422, code)


async def test_too_large_a_body_is_refused(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    url = f"{sandbox.url}/api/v10/applications/{application_id}/commands"
    headers = {"Authorization": f"Bot {token}", "Content-Type": "application/json"}
    body = io.BytesIO(b" " * ((32 << 20) + 1))
    async with sandbox.http.put(url, data=body, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (413, 40005)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * (1 << 20)

    async with sandbox.http.put(url, data=pieces(), headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (413, 40005)


def test_no_rest_route_stands_twice_or_behind_one_that_hides_it() -> None:
    """aiohttp takes the first route that matches: `/users/@me` must stand before `/users/{user_id}`."""
    seen: list[tuple[str, re.Pattern[str]]] = []
    for route in REST_ROUTES:
        hidden_by = [path.pattern for method, path in seen if method == route.method and path.fullmatch(route.path)]
        assert hidden_by == [], route.path
        seen.append((route.method, re.compile(re.sub(r"\{[^}]*\}", "[^/]+", route.path))))


class Small:
    """A server of few routes that run on the real shell."""

    def __init__(self, url: str, http: aiohttp.ClientSession, discord: LocalDiscord) -> None:
        self.url = url
        self.http = http
        self.discord = discord

    async def call(self, method: str, path: str, authorization: str | None = None) -> ClientResponse:
        headers = {"Authorization": authorization} if authorization else {}
        async with self.http.request(method, f"{self.url}/api/v10{path}", headers=headers) as response:
            await response.read()
            return response


async def _rename(request: web.Request, discord: LocalDiscord, _: Application) -> web.Response:
    discord.rate_limiter.spend_hidden(CHANNEL_RENAME, request.match_info["channel_id"], discord.clock())
    return answer({})


async def _fine(_: web.Request, __: LocalDiscord, *___: object) -> web.Response:
    return answer({})


@pytest.fixture
async def small(sandbox: Sandbox) -> AsyncIterator[Small]:
    app = web.Application(middlewares=[errors_as_json])
    app[DISCORD] = sandbox.discord
    app.add_routes(
        [
            bot_route("PATCH", "/channels/{channel_id}", _rename),
            token_route("GET", "/webhooks/{webhook_id}/{token}", _fine, limited=True),
            token_route("POST", "/interactions/{interaction_id}/{token}/callback", _fine, limited=False),
            open_route("GET", "/gateway", _fine),
            caller_route("GET", "/users/@me/guilds", _fine, scope="guilds"),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Small(f"http://127.0.0.1:{runner.addresses[0][1]}", sandbox.http, sandbox.discord)
    finally:
        await runner.cleanup()


async def test_hidden_limit_is_shared_by_all_bots_and_costs_no_budget(sandbox: Sandbox, small: Small) -> None:
    tokens = [(await sandbox.application(name))[1] for name in ("first", "second", "third")]
    answers = [await small.call("PATCH", "/channels/9", f"Bot {token}") for token in tokens]
    assert [response.status for response in answers] == [200, 200, 429]
    limited = answers[2]
    assert limited.headers["X-RateLimit-Scope"] == "shared"
    assert limited.headers["X-RateLimit-Remaining"] == "4"  # the bucket of the headers is another one
    body = await limited.json()
    assert body["message"] == "The resource is being rate limited."
    assert RENAME_QUOTA.window_s - 5 < body["retry_after"] <= int(limited.headers["Retry-After"])
    assert not await address(sandbox, "127.0.0.1")


async def test_webhooks_of_interactions_are_exempt_from_the_global_limit(sandbox: Sandbox, small: Small) -> None:
    application_id, token = await sandbox.application()
    await sandbox.control("POST", "/limits", {"routes": False})
    calls = [await small.call("GET", f"/webhooks/{application_id}/token") for _ in range(60)]
    calls += [await small.call("POST", "/interactions/1/token/callback") for _ in range(60)]
    assert {response.status for response in calls} == {200}
    assert (await small.call("GET", "/users/@me/guilds", f"Bot {token}")).status == 200


async def test_requests_without_authorization_share_the_global_limit_of_their_address(small: Small) -> None:
    small.discord.rate_limiter.routes_limited = False
    calls = [await small.call("GET", f"/webhooks/{number}/token") for number in range(30)]
    calls += [await small.call("GET", "/gateway") for _ in range(21)]
    assert [response.status for response in calls] == [200] * 50 + [429]
    assert calls[50].headers["X-RateLimit-Scope"] == "global"


async def test_each_token_of_a_webhook_has_a_bucket_of_its_own(small: Small) -> None:
    first, same, other = [await small.call("GET", f"/webhooks/1/{token}") for token in ("a", "a", "b")]
    assert [int(response.headers["X-RateLimit-Remaining"]) for response in (first, same, other)] == [49, 48, 49]
    assert first.headers["X-RateLimit-Bucket"] == bucket_of("GET", "/webhooks/{webhook_id}/{token}").id
