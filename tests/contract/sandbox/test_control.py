from typing import Any

import pytest

from tests.contract.sandbox.conftest import Sandbox


async def test_health_says_ok(sandbox: Sandbox) -> None:
    assert await sandbox.control("GET", "/healthz") == {"status": "ok", "applications": 0}


async def test_registering_a_name_twice_gives_the_same_application(sandbox: Sandbox) -> None:
    assert await sandbox.application("alpha") == await sandbox.application("alpha")
    assert len((await sandbox.control("GET", "/applications"))["items"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "no_such_call"),
        ("DELETE", "/healthz", None, 405, "no_such_call"),
        ("POST", "/applications", {}, 422, "invalid_body"),
        ("POST", "/applications", {"name": ""}, 422, "invalid_name"),
        ("POST", "/applications", {"name": "a", "extra": 1}, 422, "invalid_body"),
        ("GET", "/applications/1", None, 404, "unknown_application"),
        ("POST", "/applications/{id}/interactions", {"command": "nothing"}, 404, "unknown_command"),
        ("POST", "/applications/{id}/interactions", {"command": "ping", "wait_ms": -1}, 422, "invalid_wait"),
        ("POST", "/applications/{id}/interactions", {"command": "ping", "user": {"id": "x"}}, 422, "invalid_user"),
        ("POST", "/applications/{id}/interactions", {"command": "ping", "options": {"x": 1}}, 422, "bad_invocation"),
        ("GET", "/applications/{id}/interactions/1", None, 404, "unknown_interaction"),
        ("POST", "/applications/{id}/close", {"code": 99}, 422, "invalid_code"),
        ("POST", "/applications/{id}/close", {}, 422, "invalid_body"),
        ("POST", "/applications/{id}/session-starts", {"remaining": 1001}, 422, "invalid_remaining"),
        ("POST", "/applications/{id}/session-starts", {"identify_interval_s": -1}, 422, "invalid_interval"),
    ],
)
async def test_bad_call_gets_a_clear_error(
    sandbox: Sandbox, method: str, path: str, body: Any, status: int, code: str
) -> None:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    got, answer = await sandbox.call(method, "/sandbox" + path.format(id=application_id), body)
    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


async def test_body_that_is_not_json_gets_a_clear_error(sandbox: Sandbox) -> None:
    headers = {**sandbox.key, "Content-Type": "application/json"}
    async with sandbox.http.post(f"{sandbox.url}/sandbox/applications", data=b"{", headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_json")


async def test_interaction_without_a_session_is_not_connected(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    body = {"command": "ping", "user": {"username": "eve"}}
    outcome = await sandbox.control("POST", f"/applications/{application_id}/interactions", body)
    assert (outcome["status"], outcome["sessions"]) == ("not_connected", 0)
