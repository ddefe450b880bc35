from typing import Any

import pytest

from tests.contract.sandbox.conftest import Sandbox

PING = {"name": "ping", "description": "Answers pong"}


@pytest.mark.parametrize("path", ["/users/@me", "/applications/@me", "/gateway/bot", "/channels/1"])
async def test_bad_or_missing_token_is_discords_401(sandbox: Sandbox, path: str) -> None:
    _, token = await sandbox.application()
    for bad in (None, "nonsense", token[:-4] + "AAAA"):
        assert await sandbox.rest("GET", path, bad) == (401, {"message": "401: Unauthorized", "code": 0})


async def test_unknown_route_is_discords_404_and_recorded(sandbox: Sandbox) -> None:
    assert await sandbox.rest("GET", "/nowhere") == (404, {"message": "404: Not Found", "code": 0})
    assert (await sandbox.rest("PATCH", "/gateway"))[1] == {"message": "405: Method Not Allowed", "code": 0}
    recorded = (await sandbox.control("GET", "/unknown"))["items"]
    assert [(row["method"], row["path"]) for row in recorded] == [
        ("GET", "/api/v10/nowhere"),
        ("PATCH", "/api/v10/gateway"),
    ]


@pytest.mark.parametrize("scope", ["", "/guilds/{guild_id}"])
async def test_commands_can_be_made_read_changed_and_deleted(sandbox: Sandbox, scope: str) -> None:
    application_id, token = await sandbox.application()
    guild_id = (await sandbox.control("GET", f"/applications/{application_id}"))["guild_id"]
    base = f"/applications/{application_id}{scope.format(guild_id=guild_id)}/commands"
    status, command = await sandbox.rest("POST", base, token, PING)
    assert status == 201
    assert await sandbox.rest("POST", base, token, PING) == (200, command)
    one = f"{base}/{command['id']}"
    assert await sandbox.rest("GET", one, token) == (200, command)
    assert (await sandbox.rest("PATCH", one, token, {"description": "New"}))[1]["description"] == "New"
    assert len((await sandbox.rest("GET", base, token))[1]) == 1
    assert await sandbox.rest("DELETE", one, token) == (204, None)
    assert (await sandbox.rest("GET", one, token))[1]["code"] == 10063
    assert len((await sandbox.rest("PUT", base, token, [PING]))[1]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/applications/1/commands", None, 403, 20012),
        ("GET", "/applications/{id}/guilds/1/commands", None, 404, 10004),
        ("GET", "/applications/{id}/commands/x", None, 400, 50035),
        ("PUT", "/applications/{id}/commands", {}, 400, 50035),
        ("POST", "/applications/{id}/commands", [], 400, 50035),
        ("POST", "/applications/{id}/commands", {"name": "X"}, 400, 50035),
        ("GET", "/channels/1", None, 404, 10003),
        ("GET", "/channels/{channel_id}/messages?limit=101", None, 400, 50035),
        ("GET", "/channels/{channel_id}/messages?before=x", None, 400, 50035),
        ("POST", "/channels/{channel_id}/messages", {"content": "x" * 2001}, 400, 50035),
        ("POST", "/interactions/1/token/callback", {"type": 5}, 404, 10062),
        ("POST", "/webhooks/1/token", {"content": "x"}, 404, 10015),
        ("POST", "/webhooks/{id}/token", {"content": "x"}, 401, 50027),
        ("GET", "/webhooks/{id}/token/messages/@original", None, 401, 50027),
    ],
)
async def test_refusal_carries_discords_status_and_code(
    sandbox: Sandbox, method: str, path: str, body: Any, status: int, code: int
) -> None:
    application_id, token = await sandbox.application()
    state = await sandbox.control("GET", f"/applications/{application_id}")
    got, error = await sandbox.rest(method, path.format(**state), token, body)
    assert (got, error["code"]) == (status, code)


async def test_body_that_is_not_json_is_refused(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    url = f"{sandbox.url}/api/v10/applications/{application_id}/commands"
    headers = {"Authorization": f"Bot {token}"}
    async with sandbox.http.post(url, data=b"{", headers=headers) as response:
        assert (await response.json())["errors"]["_errors"][0]["code"] == "CONTENT_TYPE_INVALID"
    async with sandbox.http.post(url, data=b"{", headers=headers | {"Content-Type": "application/json"}) as response:
        assert (await response.json())["code"] == 50109
    multipart = headers | {"Content-Type": "multipart/form-data"}
    async with sandbox.http.post(url, data=b"", headers=multipart) as response:
        assert (await response.json())["code"] == 50035


async def test_requests_past_the_bucket_get_429_with_discords_headers(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    channel_id = (await sandbox.control("GET", f"/applications/{application_id}"))["channel_id"]
    url = f"{sandbox.url}/api/v10/channels/{channel_id}/messages"
    headers = {"Authorization": f"Bot {token}"}
    statuses = []
    for _ in range(6):
        async with sandbox.http.post(url, json={"content": "x"}, headers=headers) as response:
            statuses.append(response.status)
    assert statuses == [200] * 5 + [429]
    assert response.headers["X-RateLimit-Scope"] == "user"
    assert int(response.headers["Retry-After"]) >= 1


async def test_errors_carry_rate_limit_headers_too(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    headers = {"Authorization": f"Bot {token}"}
    async with sandbox.http.get(f"{sandbox.url}/api/v10/channels/1", headers=headers) as response:
        assert response.headers["X-RateLimit-Bucket"]


async def test_callback_answers_204_unless_asked_for_the_response(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [PING])
    client = await sandbox.gateway()
    await client.identify(token)
    await client.event("READY")
    for query, status in (("", 204), ("?with_response=true", 200)):
        await sandbox.control("POST", f"/applications/{application_id}/interactions", {"command": "ping", "wait_ms": 0})
        event = await client.event("INTERACTION_CREATE")
        path = f"/interactions/{event['id']}/{event['token']}/callback{query}"
        assert (await sandbox.rest("POST", path, None, {"type": 4, "data": {"content": "x"}}))[0] == status
        webhook = f"/webhooks/{application_id}/{event['token']}"
        assert (await sandbox.rest("GET", f"{webhook}/messages/@original"))[1]["content"] == "x"
        assert (await sandbox.rest("PATCH", f"{webhook}/messages/@original", None, {"content": "y"}))[0] == 200
        follow_up = (await sandbox.rest("POST", webhook, None, {"content": "z"}))[1]
        assert await sandbox.rest("DELETE", f"{webhook}/messages/{follow_up['id']}") == (204, None)
