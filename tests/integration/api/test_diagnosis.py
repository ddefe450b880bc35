"""A bot's past over HTTP."""

from datetime import UTC, datetime
from typing import Any

import pytest
from ulid import ULID

from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.heap import Heap
from flotilla.domain.worker import State
from tests.builders import A_REPORT, T0
from tests.integration.api.conftest import Api


async def test_exits_are_shown_in_words(api: Api) -> None:
    bot = await api.add_bot(1)
    store = SqlFleetStore(api.services.database)
    rows = [
        Exit(str(ULID.from_datetime(T0)), bot["id"], T0, 1, -9, "unresponsive", "File x"),
        Exit(str(ULID()), bot["id"], datetime.now(UTC), 2, 0, None, ""),
    ]
    await store.record_exits(rows)
    page = await api.get(f"/api/v1/bots/{bot['id']}/exits")
    assert page["next_cursor"] is None
    newer, older = page["items"]
    assert (newer["generation"], newer["how"], newer["reason"]) == (2, "exit code 0", None)
    assert older == {
        "id": rows[0].id,
        "at": "2026-01-02T03:04:05Z",
        "generation": 1,
        "exit_code": -9,
        "how": "signal 9 (SIGKILL)",
        "reason": "event loop blocked",
        "reason_code": "unresponsive",
        "tail": "File x",
    }


async def test_inspection_has_limits_restarts_and_heartbeat(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/inspection"
    fresh = await api.get(path)
    assert (fresh["restarts_24h"], fresh["heartbeat_at"], fresh["exits"]) == (0, None, [])
    assert fresh["limits"]["memory_limit_bytes"] == 512 * 1024 * 1024
    now = datetime.now(UTC)
    store = SqlFleetStore(api.services.database)
    changes = [Transition(bot["id"], now, State.STARTING, ready=False, generation=n, reason=None) for n in (1, 2, 3)]
    await store.save([BotStatus(bot["id"], State.RUNNING, generation=3, failures=1, heartbeat_at=T0)], changes)
    shown = await api.get(path)
    assert (shown["restarts_24h"], shown["failures"]) == (2, 1)
    assert shown["heartbeat_at"] == "2026-01-02T03:04:05Z"
    assert shown["bot"]["name"] == "bot-0001"
    await store.save([BotStatus(bot["id"], State.RUNNING, generation=9)], [])
    assert (await api.get(path))["restarts_24h"] == 3


async def test_stacks_are_asked_for_with_a_nudge_and_shown_when_they_are_there(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/stacks"
    await api.problem(await api.call("POST", path), 409, "bot_not_running")
    store = SqlFleetStore(api.services.database)
    await store.save([BotStatus(bot["id"], State.RUNNING, generation=3, pid=42)], [])
    sent = api.nudges.sent
    response = await api.call("POST", path)
    assert (response.status_code, await response.get_json()) == (202, {"bot_id": bot["id"], "epoch": 1})
    assert api.nudges.sent == sent + 1
    assert (await api.get(path))["epoch"] == 0
    await store.record_stacks(Stacks(bot["id"], 1, T0, 3, "in main\n"))
    shown = await api.get(path)
    assert (shown["epoch"], shown["generation"], shown["text"], shown["fault"]) == (1, 3, "in main\n", None)


async def test_heap_is_asked_for_with_a_nudge_and_shown_when_it_is_there(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/heap"
    await api.problem(await api.call("POST", path), 409, "bot_not_running")
    store = SqlFleetStore(api.services.database)
    await store.save([BotStatus(bot["id"], State.RUNNING, generation=3, pid=42)], [])
    sent = api.nudges.sent
    response = await api.call("POST", path)
    assert (response.status_code, await response.get_json()) == (202, {"bot_id": bot["id"], "epoch": 1})
    response = await api.call("POST", path, body={"trace_s": 5})
    assert (await response.get_json())["epoch"] == 2
    assert api.nudges.sent == sent + 2
    (row,) = await store.fleet()
    assert (row.bot.heap_epoch, row.bot.heap_trace_s) == (2, 5)
    assert (await api.get(path))["epoch"] == 0
    await store.record_heap(Heap(bot["id"], 2, T0, 3, A_REPORT))
    shown = await api.get(path)
    assert (shown["epoch"], shown["generation"], shown["fault"]) == (2, 3, None)
    assert shown["report"]["types"][1] == {"name": "shop.Basket", "count": 4000, "bytes": 1_000_000}
    assert shown["report"]["allocations"][0]["where"] == "shop/baskets.py:12"
    await store.record_heap(Heap(bot["id"], 3, T0, 3, None, "The bot has no process now."))
    assert (await api.get(path))["report"] is None


@pytest.mark.parametrize("body", [{"trace_s": 301}, {"trace_s": -1}, {"trace_s": "long"}, {"values": True}, []])
async def test_heap_is_not_asked_for_with_nonsense(api: Api, body: Any) -> None:
    bot = await api.add_bot(1)
    await api.problem(await api.call("POST", f"/api/v1/bots/{bot['id']}/heap", body=body), 422, "input_invalid")
