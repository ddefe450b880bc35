"""Bots over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from flotilla.db.fleet import SqlFleetStore
from flotilla.db.keys import Role
from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.worker import State
from tests.builders import T0, token_of
from tests.integration.api.conftest import Api

FIELDS = {
    *("id", "name", "application_id", "tags", "desired", "state", "ready", "reason", "reason_code", "remedy", "pid"),
    *("generation", "memory_bytes", "latency_ms", "uptime_ratio_24h", "since", "created_at", "removing"),
    *("next_try_at", "config_version", "config_running", "config_fault"),
}


async def test_added_bot_is_answered_whole_and_found_at_its_location(api: Api) -> None:
    token = token_of(1)
    response = await api.call(
        "POST", "/api/v1/bots", {"name": "shop", "token": f"  {token}\n", "tags": ["b", "a", "b"]}
    )
    assert response.status_code == 201
    bot = await response.get_json()
    assert set(bot) == FIELDS
    assert (bot["name"], bot["tags"], bot["desired"], bot["state"]) == ("shop", ["a", "b"], "running", "STOPPED")
    assert bot["application_id"] == str(10**18 + 1)
    assert await api.get(response.headers["Location"]) == bot
    assert api.nudges.sent == 1


async def test_token_is_stored_encrypted_and_answered_nowhere(api: Api) -> None:
    token = token_of(1)
    bot = await api.add_bot(1)
    stored = (await api.services.bots.tokens_encrypted())[bot["id"]]
    assert token.encode() not in stored
    assert api.services.vault.decrypt(stored) == token
    for path in ("/api/v1/bots", f"/api/v1/bots/{bot['id']}", "/api/v1/status"):
        assert token not in str(await api.get(path))


async def test_what_the_supervisor_observes_is_shown_with_its_remedy(api: Api) -> None:
    bot = await api.add_bot(1)
    status = BotStatus(
        bot["id"],
        State.FATAL,
        reason="token_refused",
        generation=3,
        pid=None,
        memory_bytes=99,
        latency_ms=1.5,
        since=T0,
    )
    await SqlFleetStore(api.services.database).save([status], [])
    shown = await api.get(f"/api/v1/bots/{bot['id']}")
    assert (shown["state"], shown["reason"], shown["reason_code"]) == ("FATAL", "token refused", "token_refused")
    assert "Developer Portal" in shown["remedy"]
    assert (shown["generation"], shown["memory_bytes"], shown["latency_ms"]) == (3, 99, 1.5)
    assert shown["since"] == "2026-01-02T03:04:05Z"


async def test_pages_go_through_the_whole_fleet(api: Api) -> None:
    for number in range(5):
        await api.add_bot(number)
    seen: list[str] = []
    query: str | None = ""
    while query is not None:
        page = await api.get(f"/api/v1/bots?limit=2{query}")
        assert set(page) == {"items", "next_cursor"}
        seen += [bot["name"] for bot in page["items"]]
        query = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert seen == [f"bot-{number:04d}" for number in range(5)]


async def test_default_page_has_fifty(api: Api) -> None:
    for number in range(51):
        await api.add_bot(number)
    assert len((await api.get("/api/v1/bots"))["items"]) == 50
    assert len((await api.get("/api/v1/bots?limit=200"))["items"]) == 51


async def test_filters_narrow_the_list(api: Api) -> None:
    await api.add_bot(1, tags=["red"])
    await api.add_bot(2, tags=["blue"], desired="stopped")
    for query, expected in {
        "name=bot-0002": ["bot-0002"],
        "tag=red": ["bot-0001"],
        "state=STOPPED": ["bot-0001", "bot-0002"],
        "state=RUNNING": [],
        "tag=red&name=bot-0002": [],
    }.items():
        assert [bot["name"] for bot in (await api.get(f"/api/v1/bots?{query}"))["items"]] == expected


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "#/limit"),
        ("limit=201", "#/limit"),
        ("limit=ten", "#/limit"),
        ("limit=1&limit=2", "#/limit"),
        ("state=HAPPY", "#/state"),
        (f"tag={'x' * 65}", "#/tag"),
        (f"cursor={'x' * 600}", "#/cursor"),
        ("tags=red", "#"),
    ],
)
async def test_query_that_does_not_fit_says_where(api: Api, query: str, pointer: str) -> None:
    problem = await api.problem(await api.call("GET", f"/api/v1/bots?{query}"), 422, "input_invalid")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_cursor_of_another_make_is_a_problem(api: Api) -> None:
    await api.problem(await api.call("GET", "/api/v1/bots?cursor=%3Ei:5"), 422, "cursor_invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "a", "token": "nonsense"}, "token_malformed"),
        ({"name": "a", "token": "Bot " + token_of(1)}, "token_malformed"),
        ({"name": "A b", "token": token_of(1)}, "name_invalid"),
        ({"name": "", "token": token_of(1)}, "name_invalid"),
        ({"name": "a", "token": token_of(1), "tags": ["A!"]}, "tag_invalid"),
        ({"name": "a", "token": token_of(1), "tags": [f"t{n}" for n in range(21)]}, "tag_invalid"),
        ({"name": "a", "token": token_of(1), "desired": "paused"}, "input_invalid"),
        ({"name": "a", "token": token_of(1), "extra": 1}, "input_invalid"),
        ({"name": 5, "token": token_of(1)}, "input_invalid"),
        ({"name": "a"}, "input_invalid"),
        ([], "input_invalid"),
        (b"null", "input_invalid"),
    ],
)
async def test_bot_that_cannot_be_is_refused_and_not_stored(api: Api, body: object, code: str) -> None:
    await api.problem(await api.call("POST", "/api/v1/bots", body), 422, code)
    assert (await api.get("/api/v1/bots"))["items"] == []
    assert api.nudges.sent == 0


async def test_name_and_token_are_taken_once(api: Api) -> None:
    await api.add_bot(1)
    other_token = {"name": "bot-0001", "token": token_of(2)}
    await api.problem(await api.call("POST", "/api/v1/bots", other_token), 409, "name_taken")
    other_name = {"name": "other", "token": token_of(1)}
    problem = await api.problem(await api.call("POST", "/api/v1/bots", other_name), 409, "token_taken")
    assert "bot-0001" in problem["detail"]


async def test_bot_being_removed_is_shown_until_it_is_gone_but_cannot_be_changed(api: Api) -> None:
    bot = await api.add_bot(1)
    response = await api.call("DELETE", f"/api/v1/bots/{bot['id']}")
    assert (response.status_code, await response.get_data()) == (204, b"")
    assert api.nudges.sent == 2
    shown = await (await api.call("GET", f"/api/v1/bots/{bot['id']}")).get_json()
    assert shown["removing"]
    assert (await (await api.call("GET", "/api/v1/bots")).get_json())["items"] == []
    for method, path in (("DELETE", ""), ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart")):
        await api.problem(await api.call(method, f"/api/v1/bots/{bot['id']}{path}"), 404, "bot_unknown")
    await api.problem(
        await api.call("POST", "/api/v1/bots", {"name": "bot-0001", "token": token_of(1)}), 409, "still_removing"
    )
    await SqlFleetStore(api.services.database).drop([bot["id"]])
    await api.problem(await api.call("GET", f"/api/v1/bots/{bot['id']}"), 404, "bot_unknown")


async def test_new_token_of_the_same_application_is_stored_and_told(api: Api) -> None:
    bot = await api.add_bot(1)
    path, token = f"/api/v1/bots/{bot['id']}/token", token_of(1, mac="y" * 38)
    response = await api.call("PUT", path, {"token": f" {token}\n"})
    assert response.status_code == 202
    assert token not in await response.get_data(as_text=True)
    assert api.services.vault.decrypt((await api.services.bots.tokens_encrypted())[bot["id"]]) == token
    assert [row["code"] for row in (await api.get("/api/v1/happenings"))["items"]] == ["token_replaced"]
    assert api.nudges.sent == 2


async def test_token_of_another_application_is_refused_and_nothing_changed(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/token"
    for body, status, code in (
        ({"token": token_of(2)}, 409, "token_of_another"),
        ({"token": "nonsense"}, 422, "token_malformed"),
        ({}, 422, "input_invalid"),
    ):
        problem = await api.problem(await api.call("PUT", path, body), status, code)
        assert token_of(2) not in str(problem)
    await api.problem(await api.call("PUT", path, {"token": token_of(1)}, role=Role.OPERATOR), 403, "role_too_low")
    await api.problem(await api.call("PUT", "/api/v1/bots/nope/token", {"token": token_of(1)}), 404, "bot_unknown")
    assert api.services.vault.decrypt((await api.services.bots.tokens_encrypted())[bot["id"]]) == token_of(1)
    assert (await api.services.bots.get(bot["id"])).bot.desired_epoch == 0
    assert api.nudges.sent == 1


async def test_start_stop_and_restart_write_desired_state_and_nudge(api: Api) -> None:
    bot = await api.add_bot(1, desired="stopped")
    path = f"/api/v1/bots/{bot['id']}"
    await api.problem(await api.call("POST", f"{path}/restart"), 409, "bot_stopped")
    for action, desired, epoch in (("start", "running", 0), ("restart", "running", 1), ("stop", "stopped", 1)):
        sent = api.nudges.sent
        response = await api.call("POST", f"{path}/{action}")
        assert response.status_code == 202
        assert (await response.get_json())["desired"] == desired
        assert (await api.services.bots.get(bot["id"])).bot.desired_epoch == epoch
        assert api.nudges.sent == sent + 1


@pytest.mark.parametrize("bot_id", ["nope", "a" * 300, "%F0%9F%A4%96", token_of(1), "..%2F..%2Fetc"])
async def test_id_of_no_bot_is_not_found_and_not_repeated(api: Api, bot_id: str) -> None:
    response = await api.call("GET", f"/api/v1/bots/{bot_id}")
    assert response.status_code == 404
    assert token_of(1)[30:] not in await response.get_data(as_text=True)


async def test_uptime_is_told_for_each_window_with_its_budget_and_burn_rates(api: Api) -> None:
    bot, now = await api.add_bot(1), datetime.now(UTC)
    history = [
        Transition(bot["id"], now - timedelta(hours=hours), state, state is State.RUNNING, 1, None)
        for hours, state in ((48, State.RUNNING), (3, State.BACKOFF), (2, State.RUNNING))
    ]
    await SqlFleetStore(api.services.database).save([], history)
    answer = await api.get(f"/api/v1/bots/{bot['id']}/uptime")
    assert (answer["bot_id"], answer["target"], set(answer["windows"])) == (bot["id"], 0.995, {"24h", "7d", "30d"})
    day, month = answer["windows"]["24h"], answer["windows"]["30d"]
    assert day["ratio"] == pytest.approx(23 / 24)
    assert (day["down_s"], day["unwanted_s"], day["unknown_s"]) == (3600, 0, 0)
    assert day["budget_left_s"] == pytest.approx(24 * 3600 * 0.005 - 3600)
    assert day["budget_left_ratio"] == pytest.approx(1 - 3600 / 432)
    assert (day["burn_rate_1h"], day["burn_rate_24h"]) == (0, pytest.approx(1 / 24 / 0.005))
    assert month["ratio"] == pytest.approx(47 / 48, abs=1e-4)
    assert (await api.get(f"/api/v1/bots/{bot['id']}"))["uptime_ratio_24h"] == pytest.approx(23 / 24, abs=1e-4)


async def test_uptime_of_a_bot_that_never_ran_is_unknown_and_an_unknown_bots_is_a_problem(api: Api) -> None:
    bot = await api.add_bot(1)
    for window in (await api.get(f"/api/v1/bots/{bot['id']}/uptime"))["windows"].values():
        for name in ("ratio", "budget_s", "budget_left_s", "budget_left_ratio", "burn_rate_1h", "burn_rate_24h"):
            assert window[name] is None
    await api.problem(await api.call("GET", "/api/v1/bots/x/uptime", role=Role.VIEWER), 404, "bot_unknown")
    await api.problem(await api.call("GET", f"/api/v1/bots/{bot['id']}/uptime", role=None), 401, "key_missing")
