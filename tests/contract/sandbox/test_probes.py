"""A worker's own probes with hikari, against the sandbox: what deafness missed is not lost, responses are timed."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import hikari
import pytest

from flotilla.protocol import Probed, WorkerLimits
from tests.contract.sandbox.conftest import Sandbox
from tests.contract.sandbox.test_sessions import Run, ping, running
from worker_bot import responses
from worker_bot.probes import Probes
from worker_bot.seam import acknowledged

LIMITS = WorkerLimits(heartbeat_s=0.1, delivery_quiet_s=0.4, delivery_answer_s=0.3)


class Watched:
    """A worker's bot with its probes, as the worker's heartbeat looks at them; `seen` counts events by name."""

    def __init__(self, run: Run) -> None:
        self.run, self.probes = run, Probes(run.bot)
        self.reports: list[Probed] = []
        self.seen: Counter[str] = Counter()
        self.shards: dict[int, hikari.api.GatewayShard] = {}
        self._looked_at = 0.0
        run.continuity.see = self._see

    def _see(self, name: str, shard: hikari.api.GatewayShard, payload: Any) -> None:
        self.seen[name] += 1
        self.shards[shard.id] = shard
        self.probes.see(name, shard, payload)

    async def until(self, state: str) -> None:
        def reported() -> bool:
            if time.monotonic() - self._looked_at >= LIMITS.heartbeat_s:
                self._looked_at = time.monotonic()
                probed = self.probes.look(LIMITS)
                self.reports += [probed] if probed else []
            return bool(self.reports) and self.reports[-1].delivery == state

        await self.run.until(reported)


async def deafen(sandbox: Sandbox, application_id: str, **more: object) -> None:
    fault = {"kind": "deaf", "applications": [application_id], **more}
    status, _ = await sandbox.call("POST", "/sandbox/faults", fault)
    assert status == 201


async def speak(sandbox: Sandbox, application_id: str) -> None:
    """Let somebody write a message in a channel that the bot sees."""
    application = await sandbox.control("GET", f"/applications/{application_id}")
    guild = await sandbox.control("GET", f"/guilds/{application['guild_id']}")
    channel = next(each["id"] for each in guild["channels"] if each["type"] == "guild_text")
    await sandbox.control("POST", f"/channels/{channel}/messages", {"content": "hello"})


async def test_what_a_deaf_session_missed_is_replayed_once_by_the_resume_that_heals_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        watched = Watched(run)
        await speak(sandbox, application_id)
        await watched.until("ok")
        await deafen(sandbox, application_id, heals_on="resume", keep=True)
        await speak(sandbox, application_id)
        await watched.until("deaf")
        assert watched.seen["MESSAGE_CREATE"] == 1
        await watched.until("ok")
        assert watched.seen["MESSAGE_CREATE"] == 2
        assert [report.delivery for report in watched.reports].count("deaf") == 1
        state = await sandbox.control("GET", f"/applications/{application_id}")
        assert (state["identifies"], state["resumes"]) == (1, 1)


async def test_quiet_session_is_asked_again_and_again_and_stays_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        watched = Watched(run)
        await speak(sandbox, application_id)
        for _ in range(4):
            await watched.until("ok")
            await watched.until("probing")
        assert watched.seen["GUILD_MEMBERS_CHUNK"] >= 3
        assert {report.delivery for report in watched.reports} <= {None, "ok", "probing"}
        assert run.told == ["ready"]


async def test_first_responses_are_timed_from_the_arrival_of_the_interaction(sandbox: Sandbox, tmp_path: Path) -> None:
    application_id, token = await sandbox.application()
    async with running(sandbox, token, tmp_path / "bot.session") as run:
        watched = Watched(run)
        for _ in range(3):
            assert await ping(sandbox, application_id) == "answered"
        probed = watched.probes.look(LIMITS)
        assert probed is not None
        assert probed.responses == 3
        assert probed.response_p95_ms is not None
        assert 0 < probed.response_p95_ms < 3000
        assert acknowledged(watched.shards[0])
    responses.install(None)


@pytest.mark.parametrize("name", ["_last_heartbeat_sent", "_last_heartbeat_ack_received"])
def test_hikari_has_the_private_names_that_the_delivery_probe_needs(name: str) -> None:
    assert name in hikari.impl.shard.GatewayShardImpl.__slots__
