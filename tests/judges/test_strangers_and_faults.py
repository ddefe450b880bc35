"""Bots made with discord.py and discord.js live through faults; one bot of each library for the whole module.

How often a bot identified and resumed is told as Discord saw it.
"""

import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sandbox.faults.book import draw
from sandbox.local_discord import Rules
from tests.judges.description import Description
from tests.judges.stage import Stage, alone
from tests.judges.stranger import LIBRARIES
from tests.stack import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDENTIFIED, RESUMED = (1, 0), (0, 1)
# discord.py takes a connection for dead when nothing came for so long; discord.js, when one heartbeat got no answer.
TIMEOUT_S = 2.5


@pytest_asyncio.fixture(params=LIBRARIES, scope="module", loop_scope="module")
async def shared(request: pytest.FixtureRequest, discords_description: Description | None) -> AsyncIterator[Stage]:
    rules = Rules(identify_interval_s=0, heartbeat_interval_ms=1_000)
    options = {"heartbeat_timeout_s": TIMEOUT_S}
    async with alone(discords_description, request.param, rules, **options) as stage:
        await stage.bot.do("sync")
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    shared.bot.forget()
    yield shared
    await shared.control("DELETE", "/faults")
    shared.check()


async def fault(stage: Stage, kind: str, **more: Any) -> dict[str, Any]:
    return await stage.control("POST", "/faults", {"kind": kind, **more})


async def says(stage: Stage, text: str) -> None:
    """Check that a user's command is answered, once."""
    said = await stage.use("echo", text=text)
    assert (said["status"], said["message"]["content"]) == ("answered", text)


async def started(stage: Stage, before: tuple[int, int]) -> tuple[int, int]:
    """Return by how much the bot's starts went up, once they did."""

    async def more() -> tuple[int, int] | None:
        identifies, resumes = await stage.starts()
        return None if (identifies, resumes) == before else (identifies - before[0], resumes - before[1])

    gained: tuple[int, int] = await until(more, "the bot identified or resumed")
    return gained


@pytest.mark.parametrize(
    ("kind", "fields", "then"),
    [
        ("close", {"code": 4000}, RESUMED),
        ("drop", {}, RESUMED),
        ("reconnect", {}, RESUMED),
        ("truncated_frame", {}, RESUMED),
        ("invalid_session", {"resumable": True}, RESUMED),
        ("invalid_session", {"resumable": False}, IDENTIFIED),
    ],
    ids=["4000", "drop", "reconnect", "truncated frame", "op 9, resumable", "op 9"],
)
async def test_bot_comes_back_as_discord_expects(
    stage: Stage, kind: str, fields: dict[str, Any], then: tuple[int, int]
) -> None:
    before = await stage.starts()
    assert (await fault(stage, kind, **fields))["struck"] == 1
    if then == RESUMED:
        await says(stage, f"missed, then made up for after {kind}")
        await stage.bot.event("resumed")
    else:
        await stage.bot.event("ready")
        await says(stage, f"after {kind}")
    assert await started(stage, before) == then
    assert len(stage.bot.told("command")) == 1


async def test_bot_takes_a_connection_without_acknowledgements_for_dead_and_resumes(stage: Stage) -> None:
    before = await stage.starts()
    silence = await fault(stage, "no_acks")
    began = time.monotonic()
    assert await started(stage, before) == RESUMED
    assert time.monotonic() - began < 3 * TIMEOUT_S
    await stage.control("DELETE", f"/faults/{silence['id']}")
    await says(stage, "awake")
    assert await started(stage, before) == RESUMED


async def test_slow_frames_come_late_but_whole(stage: Stage) -> None:
    before = await stage.starts()
    await fault(stage, "slow_frames", bytes_per_s=3_000)
    began = time.monotonic()
    await says(stage, "slowly")
    assert time.monotonic() - began > 0.15
    assert await stage.starts() == before


def first_of_two(application_id: str) -> dict[str, Any]:
    """Return the chance and the seed by which a fault strikes an application's first request and not the next ones."""
    wanted = [True, False, False]
    for seed in itertools.count():
        if [draw(seed, "occasion", application_id, nth) < 0.5 for nth in range(3)] == wanted:
            return {"probability": 0.5, "seed": seed}
    raise AssertionError


@pytest.mark.parametrize(
    ("kind", "fields", "at_least_s"),
    [("rest_error", {"status": 502}, 0.0), ("rest_429", {"scope": "user", "retry_after_s": 1.0}, 1.0)],
    ids=["502", "429"],
)
async def test_request_is_tried_again(stage: Stage, kind: str, fields: dict[str, Any], at_least_s: float) -> None:
    route = f"POST /channels/{stage.channel_id}/messages"
    chance = first_of_two(stage.application_id)
    struck = await fault(stage, kind, route=route, **fields, **chance)
    began = time.monotonic()
    sent = await stage.bot.do("send", channel_id=stage.channel_id, content=f"in spite of {kind}")
    assert time.monotonic() - began >= at_least_s
    faults = (await stage.control("GET", "/faults"))["items"]
    assert [entry["struck"] for entry in faults if entry["id"] == struck["id"]] == [1]
    assert (await stage.read(stage.channel_id))[0]["id"] == sent["id"]
