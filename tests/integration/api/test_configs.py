"""How bots and their guilds are to be, over HTTP."""

import asyncio

import pytest

from flotilla.db.keys import Role
from flotilla.domain.config import BotConfig
from flotilla.domain.config_record import ConfigOutcome, Refusal
from tests.builders import T0
from tests.integration.api.conftest import Api

GUILD = "200000000000000001"


async def path_of(api: Api) -> str:
    return f"/api/v1/bots/{(await api.add_bot(1))['id']}/config"


async def test_bot_has_the_default_config_until_one_is_set(api: Api) -> None:
    path, nudges = await path_of(api), api.nudges.sent
    response = await api.call("GET", path, role=Role.VIEWER)
    assert response.headers["ETag"] == '"0"'
    shown = await response.get_json()
    assert (shown["config"], shown["version"], shown["running"], shown["refused"]) == ({}, 0, None, None)
    changed = await api.call("PATCH", path, {"locale": "id", "presence": {"activity": "chess"}}, role=Role.OPERATOR)
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"1"')
    told = await changed.get_json()
    assert (told["version"], told["effect"], told["session_starts"], told["dry_run"]) == (1, "live", 0, False)
    assert [change["field"] for change in told["changes"]] == ["presence", "locale"]
    assert api.nudges.sent == nudges + 1
    assert (await api.get(path))["config"] == {"locale": "id", "presence": {"activity": "chess"}}


async def test_dry_run_tells_the_cost_and_changes_nothing(api: Api) -> None:
    path, nudges = await path_of(api), api.nudges.sent
    wanted = {"intents": ["GUILDS", "GUILD_MEMBERS"], "cache": "members"}
    told = await (await api.call("PATCH", f"{path}?dry_run=true", wanted)).get_json()
    assert (told["effect"], told["session_starts"], told["switch_on"]) == ("new_session", 1, ["GUILD_MEMBERS"])
    assert (told["version"], told["dry_run"]) == (None, True)
    assert ((await api.get(path))["version"], api.nudges.sent) == (0, nudges)
    assert (await api.get(f"{path}/history"))["items"] == []


async def test_change_meant_for_another_version_is_refused_with_what_to_do(api: Api) -> None:
    path = await path_of(api)
    answers = await asyncio.gather(
        api.call("PATCH", path, {"locale": "id"}, If_Match='"0"'),
        api.call("PATCH", path, {"cache": "none"}, If_Match='"0"'),
    )
    late = next(answer for answer in answers if answer.status_code == 412)
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    problem = await api.problem(late, 412, "config_changed")
    assert "Read it again" in problem["detail"]
    assert (await api.get(path))["version"] == 1
    await api.problem(await api.call("PATCH", path, {}, If_Match="W/x"), 400, "request_malformed")
    assert (await api.call("PATCH", path, {"cache": "none"}, If_Match="*")).status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"presence": {"status": "away"}}, "presence.status"),
        ({"cache": "members"}, "GUILD_MEMBERS"),
        ({"intents": ["GUILD_MEMBER"]}, "GUILD_MEMBERS"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_config_that_cannot_be_is_refused(api: Api, body: dict[str, object], told: str) -> None:
    path = await path_of(api)
    problem = await api.problem(await api.call("PATCH", path, body), 422, "config_invalid")
    assert told in problem["detail"]
    assert (await api.get(path))["version"] == 0


async def test_config_from_hell_is_refused(api: Api) -> None:
    path = await path_of(api)
    await api.problem(await api.call("PATCH", path, b'{"settings":' + b'{"a":' * 10_000), 400, "json_malformed")
    await api.problem(await api.call("PATCH", path, b"[" * 50_000), 422, "input_invalid")
    await api.problem(
        await api.call("PATCH", path, b'{"settings":{"a":{"b":1' + b"0" * 400 + b"}}}"), 422, "config_invalid"
    )
    await api.problem(await api.call("PATCH", path, [1]), 422, "input_invalid")
    await api.call("PATCH", path, {"settings": {"a": {"b": "x" * 40_000}}})
    await api.problem(
        await api.call("PATCH", path, {"settings": {"b": {"b": "\u0000\uffff" * 15_000}}}), 413, "body_too_large"
    )
    await api.problem(await api.call("PATCH", path, {"settings": {"b": {"b": "x" * 30_000}}}), 422, "config_too_large")
    assert (await api.call("PATCH", path, {"settings": {"a": {"b": "\u0000"}}})).status_code == 200


async def test_history_is_listed_and_gone_back_to(api: Api) -> None:
    path = await path_of(api)
    for locale in ("id", "fr"):
        await api.call("PATCH", path, {"locale": locale}, role=Role.OPERATOR)
    items = (await api.get(f"{path}/history"))["items"]
    assert [(row["version"], row["config"].get("locale"), row["changed_by"]) for row in items] == [
        (2, "fr", "operator-key"),
        (1, "id", "operator-key"),
        (0, None, ""),
    ]
    told = await (await api.call("POST", f"{path}/rollback?dry_run=true", {"version": 1})).get_json()
    assert (told["version"], told["config"]) == (None, {"locale": "id"})
    told = await (await api.call("POST", f"{path}/rollback", {"version": 1}, role=Role.OPERATOR)).get_json()
    assert (told["version"], told["config"]) == (3, {"locale": "id"})
    await api.problem(await api.call("POST", f"{path}/rollback", {"version": 9}), 404, "version_unknown")


async def test_config_that_was_refused_says_why_and_what_runs_instead(api: Api) -> None:
    path = await path_of(api)
    bot_id = path.split("/")[4]
    await api.call("PATCH", path, {"intents": ["GUILDS", "GUILD_MEMBERS"]})
    refused = Refusal(1, "intents_refused", "close code 4014", T0)
    await api.services.configs.record_outcomes({bot_id: ConfigOutcome(0, BotConfig(), refused)}, T0)
    shown = await api.get(path)
    assert (shown["refused"]["reason_code"], shown["refused"]["runs"], shown["good_version"]) == (
        "intents_refused",
        0,
        0,
    )
    assert "Developer Portal" in shown["refused"]["remedy"]
    bot = await api.get(f"/api/v1/bots/{bot_id}")
    assert (bot["config_version"], bot["config_fault"], bot["config_running"]) == (1, "intents_refused", None)
    await api.call("PATCH", path, {"intents": None})
    assert (await api.get(path))["refused"] is None


async def test_guild_has_a_config_of_its_own(api: Api) -> None:
    path = (await path_of(api)).removesuffix("config") + f"guilds/{GUILD}/config"
    nudges = api.nudges.sent
    assert ((await api.get(path))["version"], (await api.get(path))["config"]) == (0, {})
    response = await api.call("PATCH", path, {"locale": "id", "off": ["stock"]}, role=Role.OPERATOR, If_Match='"0"')
    assert (response.status_code, response.headers["ETag"], api.nudges.sent) == (200, '"1"', nudges + 1)
    assert (await api.get(path))["config"] == {"locale": "id", "off": ["stock"]}
    await api.problem(await api.call("PATCH", path, {"locale": None}, If_Match='"0"'), 412, "config_changed")
    await api.problem(await api.call("PATCH", path, {"cache": "none"}), 422, "config_invalid")
    await api.problem(await api.call("GET", path.replace(GUILD, "7")), 422, "guild_invalid")


async def test_configs_need_a_bot_and_the_right_role(api: Api) -> None:
    path = await path_of(api)
    await api.problem(await api.call("PATCH", path, {}, role=Role.VIEWER), 403, "role_too_low")
    for method, gone in (
        ("GET", "config"),
        ("PATCH", "config"),
        ("GET", "config/history"),
        ("GET", f"guilds/{GUILD}/config"),
    ):
        await api.problem(await api.call(method, f"/api/v1/bots/nobody/{gone}", {}), 404, "bot_unknown")
