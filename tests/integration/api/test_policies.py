"""What a bot is held to, over HTTP."""

import pytest

from flotilla.db.keys import Role
from flotilla.domain.policy import KNOBS
from tests.integration.api.conftest import Api


async def test_a_bot_without_a_policy_of_its_own_has_the_fleets(api: Api) -> None:
    bot = await api.add_bot(1)
    shown = await api.get(f"/api/v1/bots/{bot['id']}/policy")
    assert (shown["own"], shown["effective"]) == ({}, shown["fleet"])
    assert set(shown["fleet"]) == set(KNOBS)
    assert (shown["fleet"]["memory_limit_mb"], shown["fleet"]["restart_policy"]) == (512, "always")


async def test_a_change_holds_with_a_nudge_and_null_takes_it_back(api: Api) -> None:
    bot = await api.add_bot(1)
    path, nudges = f"/api/v1/bots/{bot['id']}/policy", api.nudges.sent
    changes = {"memory_limit_mb": 128, "restart_policy": "never", "uptime_target": 0.9}
    response = await api.call("PATCH", path, changes, role=Role.OPERATOR)
    assert response.status_code == 200
    assert (await response.get_json())["own"] == changes
    assert api.nudges.sent == nudges + 1
    await api.call("PATCH", path, {"memory_limit_mb": None})
    shown = await api.get(path)
    assert shown["own"] == {"restart_policy": "never", "uptime_target": 0.9}
    assert (await api.get(f"/api/v1/bots/{bot['id']}/uptime"))["target"] == 0.9
    inspected = await api.get(f"/api/v1/bots/{bot['id']}/inspection")
    assert (inspected["limits"]["uptime_target"], inspected["limits"]["memory_limit_bytes"]) == (0.9, 512 * 1024**2)


@pytest.mark.parametrize("body", [{"memory_limit_mb": 1}, {"unheard_of": 1}, {"max_failures": "3"}], ids=str)
async def test_a_policy_that_cannot_be_is_refused_and_changes_nothing(api: Api, body: dict[str, object]) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/policy"
    problem = await api.problem(await api.call("PATCH", path, {"intensity": 5, **body}), 422, "policy_invalid")
    assert next(iter(body)) in problem["detail"]
    assert (await api.get(path))["own"] == {}


async def test_a_policy_needs_an_object_a_bot_and_the_right_role(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/policy"
    assert (await api.call("PATCH", path, b"[1]")).status_code in {400, 422}
    await api.problem(await api.call("PATCH", path, {}, role=Role.VIEWER), 403, "role_too_low")
    await api.problem(await api.call("PATCH", "/api/v1/bots/nobody/policy", {"intensity": 5}), 404, "bot_unknown")
    await api.problem(await api.call("GET", "/api/v1/bots/nobody/policy"), 404, "bot_unknown")
