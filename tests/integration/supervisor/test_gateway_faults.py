"""Real workers on a gateway that misbehaves, as the sandbox's own process lets it on demand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from tests.stack import Stack, until

SILENCE_MS = 2_500  # more than two heartbeats
# What each fault makes hikari do: how often it identified and resumed afterwards, as Discord counts it.
FAULTS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "bot-0": ({"kind": "drop"}, (1, 1)),
    "bot-1": ({"kind": "reconnect"}, (1, 1)),
    "bot-2": ({"kind": "invalid_session", "resumable": True}, (1, 1)),
    "bot-3": ({"kind": "invalid_session", "resumable": False}, (2, 0)),
    "bot-4": ({"kind": "deaf"}, (1, 0)),
}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A home with a local Discord that asks for a heartbeat each second."""
    stack = await Stack.create(tmp_path, poll_interval_s="0.1", stop_grace_s="3", startup_timeout_s="30")
    try:
        await stack.start_sandbox("--heartbeat-interval-ms", "1000")
        yield stack
    finally:
        await stack.close()


async def applications(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the sandbox's applications by their names."""
    return {row["name"]: row for row in (await stack.sandbox("GET", "/applications"))["items"]}


def starts(application: dict[str, Any]) -> tuple[int, int]:
    return application["identifies"], application["resumes"]


async def ping(stack: Stack, application: dict[str, Any], wait_ms: int = 3_000) -> str:
    path = f"/applications/{application['id']}/interactions"
    return str((await stack.sandbox("POST", path, command="ping", wait_ms=wait_ms))["status"])


async def test_workers_live_through_faults_of_the_gateway_and_a_deaf_one_stays_silent(stack: Stack) -> None:
    ids = await stack.add_bots(len(FAULTS))
    await stack.start_supervisor()
    before = await stack.all_ready(len(FAULTS))
    there = await applications(stack)
    faults = {}
    for name, (fault, _) in FAULTS.items():
        assert starts(there[name]) == (1, 0)
        faults[name] = await stack.sandbox("POST", "/faults", applications=[there[name]["id"]], **fault)
        assert faults[name]["struck"] == 1

    async def settled() -> bool:
        now = await applications(stack)
        return all(starts(now[name]) == then for name, (_, then) in FAULTS.items())

    await until(settled, "every bot identified or resumed as its fault asks for")
    for name in ("bot-0", "bot-1", "bot-2", "bot-3"):
        assert await ping(stack, there[name]) == "answered"
    assert await ping(stack, there["bot-4"], SILENCE_MS) == "timed_out"
    deaf = (await applications(stack))["bot-4"]
    assert (deaf["sessions_connected"], starts(deaf)) == (1, (1, 0))
    after = await stack.all_ready(len(FAULTS))
    for bot_id in ids:
        assert (after[bot_id].pid, after[bot_id].generation) == (before[bot_id].pid, 1)
    await stack.sandbox("DELETE", f"/faults/{faults['bot-4']['id']}")
    assert await ping(stack, there["bot-4"]) == "answered"
    assert await settled()


async def told(stack: Stack) -> list[str]:
    return [
        view.happening.code for view in (await SqlHappenings(stack.database).page(HappeningFilter(), 200, None)).items
    ]


async def test_bot_that_never_gets_its_session_back_is_restarted_warm_but_none_while_all_are_without(
    stack: Stack,
) -> None:
    ids = await stack.add_bots(3)
    supervisor = await stack.start_supervisor(FLOTILLA_RECONNECT_TIMEOUT_S="2")
    before = await stack.all_ready(len(ids))
    there = await applications(stack)

    async def cut(*names: str) -> str:
        own = [there[name]["id"] for name in names]
        fault = await stack.sandbox("POST", "/faults", kind="refuse_connections", applications=own)
        await stack.sandbox("POST", "/faults", kind="drop", applications=own)
        return f"/faults/{fault['id']}"

    outage = await cut("bot-0", "bot-1", "bot-2")
    await until(lambda: "gateway_outage" in supervisor.text(), "it is told that it is Discord")
    await asyncio.sleep(3)  # longer than each would be given by itself
    await stack.sandbox("DELETE", outage)
    after = await stack.all_ready(len(ids))
    assert {bot_id: after[bot_id].pid for bot_id in ids} == {bot_id: before[bot_id].pid for bot_id in ids}

    alone = await cut("bot-0")
    await stack.observed(ids[0], lambda status: status.generation > 1, "it is restarted")
    await stack.sandbox("DELETE", alone)
    await stack.observed(ids[0], lambda status: status.ready, "it is READY again")
    end = (await SqlDiagnosis(stack.database).exits(ids[0], 5, None)).items[-1]
    assert (end.generation, end.reason) == (1, "gateway_lost")

    async def all_told() -> bool:
        return {"gateway_outage", "gateway_lost", "gateway_back"} <= set(await told(stack))

    await until(all_told, "it is told")
    assert starts((await applications(stack))["bot-0"])[0] == 1, "its session was resumed"
    assert [(await stack.status(bot_id)).generation for bot_id in ids[1:]] == [1, 1]
