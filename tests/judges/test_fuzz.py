"""Requests at random on every route: none ends in a 500, and what is accepted fits Discord's description.

FUZZ_SEED repeats or varies a run, FUZZ_ROUNDS sets its length. The tap judges every exchange, and the
fixture fails a test in which the sandbox itself failed.
"""

import io
import os
import sys
from random import Random

import pytest

from sandbox.rest.shell import PREFIX
from sandbox.server import REST_ROUTES
from tests.contract.sandbox.conftest import Sandbox
from tests.judges import description, scene
from tests.judges.description import Description, Operation
from tests.judges.generator import Generator, as_json
from tests.judges.seeds import bodies_for
from tests.judges.tap import Tap
from tests.judges.test_coverage import Route

SEED = int(os.environ.get("FUZZ_SEED", "20260801"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "16"))
_UNLIMITED = {"routes": False, "global": False, "hidden": False, "invalid_requests": False}
_FLAG = {True: "true", False: "false"}


def _served() -> list[Operation]:
    document = description.read()
    routes = [Route(route.method, route.path.removeprefix(PREFIX)) for route in REST_ROUTES]
    return [
        operation
        for operation in description.operations(document or {"paths": {}})
        if any(route.serves(Route(operation.method, operation.template)) for route in routes)
    ]


@pytest.fixture(autouse=True)
def judge(tap: Tap | None) -> Tap:
    if tap is None:
        pytest.skip(description.ABSENT)
    return tap


def _names(operation: Operation, furnished: scene.Scene, draw: Random) -> dict[str, str]:
    names = dict(furnished.names)
    if "{webhook_id}" in operation.template:
        names["message_id"] = names["hooked_id"]
        if "@original" in operation.template or draw.random() < 0.3:
            names |= {"webhook_id": names["application_id"], "webhook_token": names["interaction_token"]}
    if "/guilds/{guild_id}/commands" in operation.template:
        names["command_id"] = names["guild_command_id"]
    if "/bans/" in operation.template and operation.method != "PUT":
        names["user_id"] = names["banned_id"]
    for key in names:
        if key.endswith("_id") and draw.random() < 0.06:
            names[key] = draw.choice(furnished.ids)
    return names


def _interaction_for(operation: Operation, draw: Random) -> tuple[str, bool]:
    """Return what the user did, and whether the bot has answered it."""
    return draw.choice(("command", "button", "typing")), "/callback" not in operation.template


def _query(operation: Operation, generator: Generator, draw: Random) -> dict[str, str]:
    query = {}
    for parameter in operation.parameters.values():
        if parameter["in"] == "query" and (parameter.get("required") or draw.random() < 0.4):
            value = generator.value(parameter["schema"])
            value = generator.mutated(value) if draw.random() < 0.3 else value
            text = _FLAG[value] if isinstance(value, bool) else str(value)
            query[parameter["name"]] = text.encode(errors="replace").decode()[:500]
    return query


def _body(operation: Operation, generator: Generator, draw: Random) -> bytes | None:
    described = operation.raw.get("requestBody")
    if described is None:
        return None
    if draw.random() < 0.05:
        return generator.hostile_body()
    seeds = bodies_for(operation.method, operation.template)
    if seeds and draw.random() < 0.6:
        value = draw.choice(seeds)
    else:
        value = generator.value(described["content"]["application/json"]["schema"])
        if "/callback" in operation.template:
            value["type"] = draw.choice((4, 5, 6, 7, 8, 9))
    return as_json(generator.mutated(value) if draw.random() < 0.6 else value)


@pytest.mark.parametrize("operation", _served(), ids=lambda each: f"{each.method} {each.template}")
async def test_request_at_random_is_answered_as_described(
    sandbox: Sandbox, discords_description: Description, judge: Tap, operation: Operation
) -> None:
    sys.stdout.write(f"FUZZ_SEED={SEED}\n")
    operation = discords_description.operation(operation.method, operation.template) or operation  # the corrected one
    draw = Random(f"{SEED} {operation.method} {operation.template}")
    await sandbox.control("POST", "/limits", _UNLIMITED)
    for _ in range(ROUNDS):
        furnished = scene.furnish(sandbox.discord, *_interaction_for(operation, draw))
        generator = Generator(discords_description, draw, furnished.ids)
        path = operation.template.format(**_names(operation, furnished, draw))
        headers = {"Content-Type": "application/json"}
        if "_token}" not in operation.template:
            headers["Authorization"] = f"Bot {furnished.token}"
        body = _body(operation, generator, draw)
        request = sandbox.http.request(
            operation.method,
            f"{sandbox.url}{PREFIX}{path}",
            params=_query(operation, generator, draw),
            data=io.BytesIO(body) if body is not None else None,
            headers=headers,
            allow_redirects=False,
        )
        async with request as response:
            await response.read()
            assert response.status < 500
    assert judge.exchanges == ROUNDS
