"""What the sandbox answers fits Discord's own description of its API: the tap in front of it judges each test here.

The tap stands in front of all other contract tests too; these make sure that it sees each kind of answer.
"""

from typing import Any

import pytest

from tests.contract.sandbox.conftest import Sandbox
from tests.judges.description import ABSENT
from tests.judges.tap import Tap

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


@pytest.fixture(autouse=True)
def judge(tap: Tap | None) -> Tap:
    if tap is None:
        pytest.skip(ABSENT)
    return tap


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
    sandbox: Sandbox, judge: Tap, method: str, path: str, body: Any, status: int
) -> None:
    application_id, token = await sandbox.application()
    state = await sandbox.control("GET", f"/applications/{application_id}")
    real = path.format(application_id=application_id, **state)
    got, answer = await sandbox.rest(method, real, token, body)
    assert got == status, answer
    assert judge.exchanges == 1


async def test_unauthorized_and_rate_limited_fit_the_description(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    state = await sandbox.control("GET", f"/applications/{application_id}")
    path = f"/channels/{state['channel_id']}/messages"
    statuses = [(await sandbox.rest("POST", path, token, {"content": "x"}))[0] for _ in range(6)]
    assert statuses[-1] == 429
    assert (await sandbox.rest("GET", "/users/@me"))[0] == 401


async def test_answers_to_interactions_fit_the_description(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    client = await sandbox.gateway()
    await client.identify(token)
    await client.event("READY")
    for body in ({"type": 4, "data": {"content": "x"}}, {"type": 5}):
        await sandbox.control("POST", f"/applications/{application_id}/interactions", {"command": "ping", "wait_ms": 0})
        event = await client.event("INTERACTION_CREATE")
        path = f"/interactions/{event['id']}/{event['token']}/callback?with_response=true"
        statuses = [(await sandbox.rest("POST", path, None, body))[0]]
        webhook = f"/webhooks/{application_id}/{event['token']}"
        for method, change in (("GET", None), ("PATCH", {"content": "y"})):
            statuses.append((await sandbox.rest(method, f"{webhook}/messages/@original", None, change))[0])
        statuses.append((await sandbox.rest("POST", webhook, None, {"content": "z"}))[0])
        assert statuses == [200] * 4


@pytest.mark.parametrize("compress", ["", "&compress=zlib-stream"])
async def test_objects_on_the_gateway_fit_the_description(sandbox: Sandbox, judge: Tap, compress: str) -> None:
    _, token = await sandbox.application()
    client = await sandbox.gateway(f"?v=10&encoding=json{compress}")
    await client.identify(token)
    await client.event("READY")
    await client.event("GUILD_CREATE")
    assert judge.events == 2
