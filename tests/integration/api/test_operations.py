"""Bulk operations over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from flotilla.db.fleet import SqlFleetStore
from flotilla.db.keys import Role
from flotilla.db.sessions import SqlSessions
from flotilla.domain.bots import BotStatus
from flotilla.domain.sessions import Limit, Start
from flotilla.domain.worker import State
from tests.builders import T0
from tests.integration.api.conftest import JSON, Api

PATH = "/api/v1/operations"
COUNTS = {"pending": 0, "running": 0, "succeeded": 0, "failed": 0, "skipped": 0, "cancelled": 0}


async def begin(api: Api, **changes: object) -> JSON:
    body = {"kind": "restart", "selector": {"all": True}, **changes}
    response = await api.call("POST", PATH, body, role=Role.OPERATOR)
    assert response.status_code == 202, await response.get_data(as_text=True)
    operation: JSON = await response.get_json()
    assert response.headers["Location"] == f"{PATH}/{operation['id']}"
    return operation


async def test_operation_is_stored_enqueued_and_shown(api: Api) -> None:
    for number in range(3):
        await api.add_bot(number)
    operation = await begin(api, strategy={"batch_size": 2})
    assert api.queue.enqueued == [operation["id"]]
    assert await api.get(f"{PATH}/{operation['id']}") == operation
    assert operation["selector"] == {"ids": [], "names": [], "tags": [], "states": [], "all": True}
    assert operation["strategy"] == {"batch_size": 2, "item_timeout_s": 120.0, "max_failures": None}
    assert operation["counts"] == {**COUNTS, "pending": 3}
    assert (operation["total"], operation["progress"], operation["state"]) == (3, 0.0, "pending")
    assert (operation["kind"], operation["requested_by"]) == ("restart", "operator-key")
    assert (operation["detail"], operation["finished_at"]) == (None, None)


async def test_progress_is_the_share_that_is_done_with(api: Api) -> None:
    rows = [await api.add_bot(number) for number in range(4)]
    operation = await begin(api, strategy={"item_timeout_s": 60})
    repository = api.services.operations
    await repository.advance(operation["id"], T0)
    ready = [BotStatus(bot["id"], State.RUNNING, ready=True, epoch=1) for bot in rows[:1]]
    fatal = [BotStatus(bot["id"], State.FATAL, reason="crash_loop", epoch=1) for bot in rows[1:3]]
    await SqlFleetStore(api.services.database).save([*ready, *fatal], [])
    await repository.advance(operation["id"], T0 + timedelta(seconds=1))
    shown = await api.get(f"{PATH}/{operation['id']}")
    assert shown["counts"] == {**COUNTS, "running": 1, "succeeded": 1, "failed": 2}
    assert (shown["progress"], shown["state"]) == (0.75, "running")
    items = (await api.get(f"{PATH}/{operation['id']}/items"))["items"]
    assert [item["state"] for item in items] == ["succeeded", "failed", "failed", "running"]
    assert set(items[0]) == {"bot_id", "bot_name", "state", "detail", "started_at", "finished_at"}


async def test_dry_run_says_what_would_happen_and_does_nothing(api: Api) -> None:
    for number in range(52):
        await api.add_bot(number, desired="stopped" if number < 2 else "running")
    body = {"kind": "restart", "selector": {"all": True}, "dry_run": True}
    response = await api.call("POST", PATH, body)
    assert response.status_code == 200
    assert await response.get_json() == {
        "dry_run": True,
        "total": 52,
        "session_starts": 50,
        "skipped": 2,
        "bots": [f"bot-{number:04d}" for number in range(50)],
        "from_reserve": [],
        "refused": [],
    }
    assert (await api.get(PATH))["items"] == []
    assert api.queue.enqueued == []


async def test_dry_run_names_the_bots_whose_session_starts_are_short(api: Api) -> None:
    bots = [await api.add_bot(number) for number in range(4)]
    ids, now, sessions = [bot["application_id"] for bot in bots], datetime.now(UTC), SqlSessions(api.services.database)
    spent = [(key, count) for key, count in zip(ids, (0, 949, 950, 995), strict=True) for _ in range(count)]
    starts = [(key, Start(now - timedelta(seconds=number), "crash")) for number, (key, _) in enumerate(spent)]
    await sessions.record(starts, [])
    sharded = Limit("wss://gateway", 3, 1000, 1000, 1, now + timedelta(hours=24), now - timedelta(hours=1))
    await sessions.record([], [(ids[0], sharded)])
    body = {"kind": "restart", "selector": {"all": True}, "dry_run": True}
    preview = await (await api.call("POST", PATH, body)).get_json()
    assert preview["session_starts"] == 3 + 3
    assert (preview["from_reserve"], preview["refused"]) == (["bot-0002"], ["bot-0003"])
    await api.call("PATCH", f"/api/v1/bots/{bots[1]['id']}/policy", {"session_reserve": 60})
    preview = await (await api.call("POST", PATH, body)).get_json()
    assert preview["from_reserve"] == ["bot-0001", "bot-0002"]


async def test_selector_narrows(api: Api) -> None:
    one, two = await api.add_bot(1, tags=["red"]), await api.add_bot(2, tags=["blue"])
    for selector, expected in (
        ({"ids": [two["id"], two["id"]]}, ["bot-0002"]),
        ({"names": ["bot-0001"]}, ["bot-0001"]),
        ({"tags": ["red", "blue"]}, ["bot-0001", "bot-0002"]),
        ({"states": ["STOPPED"], "ids": [one["id"]]}, ["bot-0001"]),
    ):
        body = {"kind": "restart", "selector": selector, "dry_run": True}
        assert (await (await api.call("POST", PATH, body)).get_json())["bots"] == expected


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "restart", "selector": {}}, 422, "selector_empty"),
        ({"kind": "restart", "selector": {"ids": []}}, 422, "selector_empty"),
        ({"kind": "restart", "selector": {"all": True, "tags": ["x"]}}, 422, "selector_empty"),
        ({"kind": "restart", "selector": {"tags": ["nobody"]}}, 422, "selection_empty"),
        ({"kind": "restart", "selector": {"tags": ["nobody"]}, "dry_run": True}, 422, "selection_empty"),
        ({"kind": "restart", "selector": {"names": ["nobody"]}}, 404, "bots_unknown"),
        ({"kind": "explode", "selector": {"all": True}}, 422, "input_invalid"),
        ({"kind": "restart"}, 422, "input_invalid"),
        ({"kind": "restart", "selector": {"all": True}, "strategy": {"batch_size": 0}}, 422, "input_invalid"),
        ({"kind": "restart", "selector": {"all": True}, "strategy": {"item_timeout_s": 1e9}}, 422, "input_invalid"),
        ({"kind": "restart", "selector": {"all": True}, "strategy": {"max_failures": 0}}, 422, "input_invalid"),
        ({"kind": "restart", "selector": {"names": ["\x00"]}}, 422, "input_invalid"),
        ({"kind": "restart", "selector": {"all": "yes"}}, 422, "input_invalid"),
    ],
)
async def test_operation_that_makes_no_sense_is_refused(api: Api, body: JSON, status: int, code: str) -> None:
    await api.add_bot(1)
    await api.problem(await api.call("POST", PATH, body), status, code)
    assert (await api.get(PATH))["items"] == []


async def test_cancelled_operation_stays_cancelled(api: Api) -> None:
    await api.add_bot(1)
    operation = await begin(api)
    response = await api.call("POST", f"{PATH}/{operation['id']}/cancel")
    assert response.status_code == 200
    cancelled = await response.get_json()
    assert (cancelled["state"], cancelled["counts"]["cancelled"], cancelled["progress"]) == ("cancelled", 1, 1.0)
    assert cancelled["finished_at"]
    await api.problem(await api.call("POST", f"{PATH}/{operation['id']}/cancel"), 409, "operation_finished")


async def test_operations_and_items_come_in_pages(api: Api) -> None:
    for number in range(3):
        await api.add_bot(number)
    ids = [(await begin(api))["id"] for _ in range(3)]
    first = await api.get(f"{PATH}?limit=2")
    second = await api.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert sorted(row["id"] for row in first["items"] + second["items"]) == sorted(ids)
    assert second["next_cursor"] is None
    items = await api.get(f"{PATH}/{ids[0]}/items?limit=2")
    rest = await api.get(f"{PATH}/{ids[0]}/items?limit=2&cursor={items['next_cursor']}")
    assert [item["bot_name"] for item in items["items"] + rest["items"]] == ["bot-0000", "bot-0001", "bot-0002"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/items"), ("POST", "/cancel")])
async def test_unknown_operation_is_not_found(api: Api, method: str, path: str) -> None:
    await api.problem(await api.call(method, f"{PATH}/nope{path}"), 404, "operation_unknown")
