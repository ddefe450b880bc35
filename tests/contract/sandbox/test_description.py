"""What the sandbox answers fits Discord's own description of its API."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.sandbox.conftest import Sandbox

jsonschema: Any = pytest.importorskip("jsonschema")
_FALLBACK = Path(__file__).parents[4] / "shared" / "discord" / "openapi.json"
COMMAND = {
    "name": "paint",
    "description": "Paints",
    "name_localizations": {"de": "malen"},
    "default_member_permissions": "8",
    "options": [
        {
            "type": 3,
            "name": "colour",
            "description": "d",
            "required": True,
            "choices": [{"name": "Red", "value": "red"}],
        },
        {"type": 4, "name": "count", "description": "d", "min_value": 1, "max_value": 9},
    ],
}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    path = Path(os.environ.get("FLOTILLA_DISCORD_OPENAPI", _FALLBACK))
    if not path.is_file():
        pytest.skip(
            "Discord's API description is not here: take openapi.json from https://github.com/discord/discord-api-spec "
            "and name it in FLOTILLA_DISCORD_OPENAPI"
        )
    loaded = dict(json.loads(path.read_text()))
    # Discord's reference shows field errors with codes such as BASE_TYPE_REQUIRED; the description calls them integers.
    field_error = {"type": "object", "required": ["code", "message"], "properties": {"code": {"type": "string"}}}
    loaded["components"]["schemas"]["InnerErrors"]["properties"]["_errors"]["items"] = field_error
    return loaded


class Checker:
    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description

    def check(self, schema: dict[str, Any], answer: Any) -> None:
        whole = schema | {"components": self._description["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer)

    def check_response(self, method: str, path: str, status: int, answer: Any) -> None:
        responses = self._description["paths"][path][method.lower()]["responses"]
        response = responses.get(str(status)) or responses[f"{status // 100}XX"]
        if "$ref" in response:
            response = self._description["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if answer is None:
            assert "content" not in response
        else:
            self.check(response["content"]["application/json"]["schema"], answer)


@pytest.fixture
def checker(description: dict[str, Any]) -> Checker:
    return Checker(description)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/users/@me", None, 200),
        ("GET", "/applications/@me", None, 200),
        ("GET", "/oauth2/applications/@me", None, 200),
        ("GET", "/gateway", None, 200),
        ("GET", "/gateway/bot", None, 200),
        ("GET", "/guilds/{guild_id}", None, 200),
        ("GET", "/channels/{channel_id}", None, 200),
        ("POST", "/channels/{channel_id}/messages", {"embeds": [{"title": "t"}], "nonce": "n"}, 200),
        ("GET", "/channels/{channel_id}/messages", None, 200),
        ("POST", "/channels/{channel_id}/messages", {"content": "x" * 2001}, 400),
        ("PUT", "/applications/{application_id}/commands", [COMMAND], 200),
        ("POST", "/applications/{application_id}/commands", COMMAND, 201),
        ("POST", "/applications/{application_id}/commands", {"name": "x", "options": [{}]}, 400),
        ("GET", "/applications/{application_id}/commands", None, 200),
        ("POST", "/applications/{application_id}/guilds/{guild_id}/commands", COMMAND, 201),
        ("PUT", "/applications/{application_id}/guilds/{guild_id}/commands", [COMMAND], 200),
        ("GET", "/applications/{application_id}/guilds/{guild_id}/commands", None, 200),
    ],
)
async def test_answer_fits_the_description(
    sandbox: Sandbox, checker: Checker, method: str, path: str, body: Any, status: int
) -> None:
    application_id, token = await sandbox.application()
    state = await sandbox.control("GET", f"/applications/{application_id}")
    real = path.format(application_id=application_id, **state)
    got, answer = await sandbox.rest(method, real, token, body)
    assert got == status, answer
    checker.check_response(method, path, status, answer)


async def test_unauthorized_and_rate_limited_fit_the_description(sandbox: Sandbox, checker: Checker) -> None:
    application_id, token = await sandbox.application()
    path = "/channels/{channel_id}/messages"
    state = await sandbox.control("GET", f"/applications/{application_id}")
    for _ in range(6):
        status, answer = await sandbox.rest("POST", path.format(**state), token, {"content": "x"})
    assert status == 429
    checker.check_response("POST", path, 429, answer)
    status, answer = await sandbox.rest("GET", "/users/@me")
    checker.check_response("GET", "/users/@me", 401, answer)


async def test_answers_to_interactions_fit_the_description(sandbox: Sandbox, checker: Checker) -> None:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    client = await sandbox.gateway()
    await client.identify(token)
    await client.event("READY")
    callback = "/interactions/{interaction_id}/{interaction_token}/callback"
    for body in ({"type": 4, "data": {"content": "x"}}, {"type": 5}):
        await sandbox.control("POST", f"/applications/{application_id}/interactions", {"command": "ping", "wait_ms": 0})
        event = await client.event("INTERACTION_CREATE")
        path = callback.format(interaction_id=event["id"], interaction_token=event["token"])
        status, answer = await sandbox.rest("POST", f"{path}?with_response=true", None, body)
        checker.check_response("POST", callback, status, answer)
        webhook = f"/webhooks/{application_id}/{event['token']}"
        original = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
        for method, change in (("GET", None), ("PATCH", {"content": "y"})):
            status, answer = await sandbox.rest(method, f"{webhook}/messages/@original", None, change)
            checker.check_response(method, original, status, answer)
        status, answer = await sandbox.rest("POST", webhook, None, {"content": "z"})
        checker.check({"$ref": "#/components/schemas/MessageResponse"}, answer)


async def test_objects_on_the_gateway_fit_the_description(sandbox: Sandbox, checker: Checker) -> None:
    _, token = await sandbox.application()
    client = await sandbox.gateway()
    await client.identify(token)
    ready, guild = await client.event("READY"), await client.event("GUILD_CREATE")
    checker.check({"$ref": "#/components/schemas/UserPIIResponse"}, ready["user"])
    checker.check({"$ref": "#/components/schemas/GuildResponse"}, guild)
    for channel in guild["channels"]:
        checker.check({"$ref": "#/components/schemas/GuildChannelResponse"}, channel)
    for member in guild["members"]:
        checker.check({"$ref": "#/components/schemas/GuildMemberResponse"}, member)
