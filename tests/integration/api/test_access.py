"""Who may do what."""

import re
from datetime import UTC, datetime

import pytest
from quart_schema import hide

from api.auth import role_of
from flotilla.db.keys import Role
from tests.builders import token_of
from tests.integration.api.conftest import Api

REQUESTS = [
    ("GET", "/api/v1/bots", Role.VIEWER),
    ("GET", "/api/v1/bots/x", Role.VIEWER),
    ("GET", "/api/v1/bots/x/exits", Role.VIEWER),
    ("GET", "/api/v1/bots/x/inspection", Role.VIEWER),
    ("GET", "/api/v1/bots/x/metrics", Role.VIEWER),
    ("GET", "/api/v1/bots/x/policy", Role.VIEWER),
    ("GET", "/api/v1/bots/x/config", Role.VIEWER),
    ("GET", "/api/v1/bots/x/config/history", Role.VIEWER),
    ("GET", "/api/v1/bots/x/guilds/x/config", Role.VIEWER),
    ("GET", "/api/v1/bots/x/stacks", Role.VIEWER),
    ("GET", "/api/v1/bots/x/heap", Role.VIEWER),
    ("GET", "/api/v1/bots/x/uptime", Role.VIEWER),
    ("GET", "/api/v1/bots/x/stock", Role.VIEWER),
    ("GET", "/api/v1/bots/x/stock/x", Role.VIEWER),
    ("GET", "/api/v1/command-logs", Role.VIEWER),
    ("GET", "/api/v1/happenings", Role.VIEWER),
    ("GET", "/api/v1/operations", Role.VIEWER),
    ("GET", "/api/v1/operations/x", Role.VIEWER),
    ("GET", "/api/v1/operations/x/items", Role.VIEWER),
    ("GET", "/api/v1/rollovers", Role.VIEWER),
    ("GET", "/api/v1/rollovers/x", Role.VIEWER),
    ("GET", "/api/v1/status", Role.VIEWER),
    ("POST", "/api/v1/bots/x/start", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/stop", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/restart", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/stacks", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/heap", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/sync-commands", Role.OPERATOR),
    ("PUT", "/api/v1/bots/x/stock/x", Role.OPERATOR),
    ("DELETE", "/api/v1/bots/x/stock/x", Role.OPERATOR),
    ("PATCH", "/api/v1/bots/x/policy", Role.OPERATOR),
    ("PATCH", "/api/v1/bots/x/config", Role.OPERATOR),
    ("POST", "/api/v1/bots/x/config/rollback", Role.OPERATOR),
    ("PATCH", "/api/v1/bots/x/guilds/x/config", Role.OPERATOR),
    ("POST", "/api/v1/operations", Role.OPERATOR),
    ("POST", "/api/v1/operations/x/cancel", Role.OPERATOR),
    ("GET", "/api/v1/webhooks", Role.OPERATOR),
    ("GET", "/api/v1/webhooks/x", Role.OPERATOR),
    ("GET", "/api/v1/webhooks/x/deliveries", Role.OPERATOR),
    ("POST", "/api/v1/webhooks/x/test", Role.OPERATOR),
    ("POST", "/api/v1/webhooks", Role.ADMIN),
    ("PATCH", "/api/v1/webhooks/x", Role.ADMIN),
    ("DELETE", "/api/v1/webhooks/x", Role.ADMIN),
    ("POST", "/api/v1/bots", Role.ADMIN),
    ("POST", "/api/v1/rollovers", Role.ADMIN),
    ("DELETE", "/api/v1/bots/x", Role.ADMIN),
    ("PUT", "/api/v1/bots/x/token", Role.ADMIN),
    ("GET", "/api/v1/bots/x/secrets", Role.ADMIN),
    ("PUT", "/api/v1/bots/x/secrets/x", Role.ADMIN),
    ("DELETE", "/api/v1/bots/x/secrets/x", Role.ADMIN),
]


@pytest.mark.parametrize(("method", "path", "needed"), REQUESTS)
async def test_each_route_asks_for_its_role(api: Api, method: str, path: str, needed: Role) -> None:
    roles = list(Role)
    for role in roles:
        response = await api.call(method, path, role=role)
        if roles.index(role) < roles.index(needed):
            problem = await api.problem(response, 403, "role_too_low")
            assert needed in problem["detail"]
        else:
            assert response.status_code not in {401, 403}


async def test_every_route_is_in_the_list_above_or_public(api: Api) -> None:
    listed = {(method, path) for method, path, _ in REQUESTS}
    for rule in api.app.url_map.iter_rules():
        if rule.endpoint == "openapi" or role_of(api.app.view_functions[rule.endpoint]) is None:
            continue
        path = re.sub(r"<\w+>", "x", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (method, path) in listed


@pytest.mark.parametrize("path", ["/", "/docs", "/api/v1/openapi.json", "/healthz", "/readyz", "/metrics"])
async def test_public_routes_need_no_key(api: Api, path: str) -> None:
    assert (await api.call("GET", path, role=None)).status_code in {200, 302, 503}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        ("Bearer", "key_missing"),
        ("Bearer  ", "key_missing"),
        ("Basic dXNlcjpwYXNz", "key_missing"),
        ("Bearer flt_wrong", "key_refused"),
        ("bearer \x7f", "key_refused"),
        ("Bearer " + "x" * 5000, "key_refused"),
    ],
)
async def test_request_without_a_good_key_is_refused(api: Api, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = await api.client.get("/api/v1/bots", headers=headers)
    await api.problem(response, 401, code)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_scheme_is_read_without_regard_to_case(api: Api) -> None:
    response = await api.client.get("/api/v1/bots", headers={"Authorization": f"bEARER {api.keys[Role.VIEWER]}"})
    assert response.status_code == 200


async def test_revoked_key_is_refused_with_the_next_request(api: Api) -> None:
    key = await api.services.keys.find(api.keys[Role.VIEWER], datetime.now(UTC))
    assert key is not None
    await api.services.keys.revoke(key.id, datetime.now(UTC))
    await api.problem(await api.call("GET", "/api/v1/bots", role=Role.VIEWER), 401, "key_refused")


async def test_key_is_looked_at_before_the_body(api: Api) -> None:
    body = {"name": "a", "token": token_of(1)}
    await api.problem(await api.call("POST", "/api/v1/bots", body, role=None), 401, "key_missing")
    await api.problem(await api.call("POST", "/api/v1/bots", b"{", role=Role.VIEWER), 403, "role_too_low")


async def test_route_that_says_no_role_answers_nobody(api: Api) -> None:
    @hide
    async def forgotten() -> str:
        return "secret"

    api.app.add_url_rule("/forgotten", view_func=forgotten)
    response = await api.call("GET", "/forgotten")
    await api.problem(response, 500, "internal_error")
