"""Sessions that are acknowledged but get no events: found, healed, told; and what only looks like it."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.tables import happenings
from flotilla.domain.happenings import DISCORD_CODES
from tests.stack import Stack, until

QUIET_S, ANSWER_S = 1.0, 0.3


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A home with a local Discord, and probes that lose patience soon."""
    stack = await Stack.create(
        tmp_path,
        poll_interval_s="0.1",
        liveness_timeout_s="1",
        stop_grace_s="3",
        delivery_quiet_s=str(QUIET_S),
        delivery_answer_s=str(ANSWER_S),
    )
    try:
        await stack.start_sandbox("--heartbeat-interval-ms", "1000")
        yield stack
    finally:
        await stack.close()


async def applications(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the sandbox's applications by their names."""
    return {row["name"]: row for row in (await stack.sandbox("GET", "/applications"))["items"]}


async def told(stack: Stack, bot_id: str) -> list[tuple[str, str]]:
    """Return what was told of a bot's hearing, oldest first, each with its rung."""
    ours = happenings.c.code.not_in(DISCORD_CODES)
    query = sa.select(happenings).where(happenings.c.bot_id == bot_id, ours).order_by(happenings.c.id)
    async with stack.database.read() as connection:
        rows = list(await connection.execute(query))
    return [(row.code, row.detail.get("rung") or row.detail["healed_by"]) for row in rows]


async def ping(stack: Stack, application_id: str, wait_ms: int = 3_000) -> str:
    path = f"/applications/{application_id}/interactions"
    return str((await stack.sandbox("POST", path, command="ping", wait_ms=wait_ms))["status"])


async def test_deaf_sessions_are_healed_and_what_only_looks_like_it_is_left_alone(stack: Stack) -> None:
    resumes, identifies, quiet, alone, unacknowledged = await stack.add_bots(5)
    await stack.start_supervisor()
    before = await stack.all_ready(5)
    there = await applications(stack)
    await stack.sandbox("DELETE", f"/guilds/{there['bot-3']['guild_id']}")
    faults: dict[str, dict[str, Any]] = {
        "bot-0": {"kind": "deaf", "heals_on": "resume"},
        "bot-1": {"kind": "deaf", "heals_on": "identify"},
        "bot-4": {"kind": "no_acks", "for_s": 3},
    }
    for name, fault in faults.items():
        await stack.sandbox("POST", "/faults", applications=[there[name]["id"]], **fault)
    assert await ping(stack, there["bot-0"]["id"], 100) == "timed_out"
    assert await ping(stack, there["bot-2"]["id"]) == "answered"

    await stack.observed(resumes, lambda s: s.vitals.delivery == "deaf", "the deaf session is found")
    await stack.observed(unacknowledged, lambda s: not s.ready, "without acknowledgements a bot is not READY")
    await stack.observed(alone, lambda s: s.vitals.delivery == "unprobed", "a bot without a guild is unprobed")
    for bot_id in (resumes, identifies):
        await until(partial(hears, stack, bot_id), "the session hears again")
        healed = await stack.observed(bot_id, lambda s: s.vitals.delivery == "ok", "that is stored")
        assert (healed.generation, healed.pid) == (1, before[bot_id].pid)
    await stack.all_ready(5)
    for name in ("bot-0", "bot-1", "bot-2", "bot-4"):
        assert await ping(stack, there[name]["id"]) == "answered"

    starts = {name: (row["identifies"], row["resumes"]) for name, row in (await applications(stack)).items()}
    assert starts.pop("bot-4")[0] == 1
    assert starts == {"bot-0": (1, 1), "bot-1": (2, 1), "bot-2": (1, 0), "bot-3": (1, 0)}
    assert await told(stack, resumes) == [("deaf", "resume"), ("hearing", "resume")]
    assert await told(stack, identifies) == [("deaf", "resume"), ("deaf", "identify"), ("hearing", "identify")]
    responded = await stack.observed(quiet, lambda s: s.vitals.responses, "the responses of a bot are counted")
    assert 0 < (responded.vitals.response_p95_ms or 0) < 3000
    for bot_id in (quiet, alone, unacknowledged):
        assert await told(stack, bot_id) == []


async def hears(stack: Stack, bot_id: str) -> bool:
    return "hearing" in {code for code, _ in await told(stack, bot_id)}
