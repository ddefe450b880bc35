"""A bot is given up, and somebody does what Flotilla says.

Each reason for which a bot is given up prints a command. With the cause out of the way that command, as it is printed,
brings the bot back; a new token keeps all that the bot has. A token of another application changes nothing.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet

from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.db.secrets import SqlSecrets
from flotilla.domain.bots import BotStatus
from flotilla.domain.config import BotConfig, Cache
from flotilla.domain.reasons import REASONS, Verdict
from flotilla.domain.worker import State
from tests.printed_commands import commands_in
from tests.stack import Stack, until

PATIENCE_S = 120.0
pytestmark = pytest.mark.timeout(400)


@dataclass
class Operated:
    """A fleet with an API, and an operator at its command line."""

    stack: Stack
    applications: dict[str, str]

    async def cli(self, *words: str, stdin: str = "") -> tuple[int, str]:
        """Run `flotilla …`; return its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flotilla", *words),
            env=os.environ | self.stack.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(stdin.encode()), PATIENCE_S)
        return process.returncode or 0, said.decode()

    async def add(self, name: str, **options: Any) -> str:
        """Add a bot that the sandbox knows; return its id."""
        made = await self.stack.sandbox("POST", "/applications", name=name)
        self.applications[name] = made["id"]
        return await self.stack.add_bot(name, token=made["token"], **options)

    async def discord(self, name: str, path: str, **body: Any) -> Any:
        return await self.stack.sandbox("POST", f"/applications/{self.applications[name]}/{path}", **body)

    async def given_up(self, bot_id: str, reason: str) -> BotStatus:
        return await self.stack.observed(
            bot_id, lambda s: s.state is State.FATAL and s.reason == reason, f"given up: {reason}", PATIENCE_S
        )

    async def killed(self, bot_id: str) -> None:
        """Kill a worker once it is READY."""
        status = await self.stack.observed(bot_id, lambda s: s.ready and s.pid, "READY", PATIENCE_S)
        os.kill(status.pid or 0, signal.SIGKILL)
        await self.stack.observed(bot_id, lambda s: s.pid != status.pid, "the kill was seen", PATIENCE_S)


@pytest.fixture
async def fleet(stack: Stack) -> Operated:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stack.environment["FLOTILLA_HTTP_PORT"] = str(listener.getsockname()[1])
    stack.environment["FLOTILLA_API_KEY"] = await SqlApiKeys(stack.database).create("test", Role.ADMIN)
    api = await stack.start("api")
    await until(lambda: "api.listening" in api.text(), "the API listens")
    await stack.start_supervisor()
    return Operated(stack, {})


Scenario = Callable[[Operated], Awaitable[tuple[str, str]]]
"""Has a bot given up, takes the cause away, and returns the bot's id and what its operator types for a token."""


async def token_refused(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("token")
    await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    reset = await fleet.discord("token", "token-reset")
    await fleet.given_up(bot_id, "token_refused")
    return bot_id, str(reset["token"])


async def intents_refused(fleet: Operated) -> tuple[str, str]:
    made = await fleet.stack.sandbox("POST", "/applications", name="intents")
    fleet.applications["intents"] = made["id"]
    await fleet.discord("intents", "intents", refuse=True)
    config = BotConfig(intents=("GUILDS", "GUILD_MEMBERS"))
    bot_id = await fleet.stack.add_bot("intents", token=made["token"], config=config)
    await fleet.given_up(bot_id, "intents_refused")
    await fleet.discord("intents", "intents", refuse=False)
    return bot_id, ""


async def sharding_required(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("shards")
    await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    await fleet.discord("shards", "gateway", shard_guilds_max=0)
    await fleet.discord("shards", "close", code=4011)
    await fleet.given_up(bot_id, "sharding_required")
    await fleet.discord("shards", "gateway", shards=2, shard_guilds_max=1)
    return bot_id, ""


async def gateway_version_refused(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("version")
    await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    await fleet.discord("version", "close", code=4012)
    await fleet.given_up(bot_id, "gateway_version_refused")
    return bot_id, ""


async def token_unreadable(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("unreadable")
    status = await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    encrypted = await fleet.stack.bots.tokens_encrypted()
    token = fleet.stack.vault.decrypt(encrypted[bot_id])
    elsewhere = Fernet(Fernet.generate_key()).encrypt(token.encode())
    await fleet.stack.bots.replace_tokens_encrypted({bot_id: elsewhere})
    os.kill(status.pid or 0, signal.SIGKILL)
    await fleet.given_up(bot_id, "token_unreadable")
    return bot_id, token


async def secret_unreadable(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("secret")
    status = await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    elsewhere = Fernet(Fernet.generate_key()).encrypt(b"a value")
    await SqlSecrets(fleet.stack.database).put(bot_id, "SECRET", elsewhere, "test", datetime.now(UTC))
    os.kill(status.pid or 0, signal.SIGKILL)
    await fleet.given_up(bot_id, "secret_unreadable")
    return bot_id, "a value"


async def crash_loop(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("loop")
    await fleet.stack.bots.override(bot_id, {"max_failures": 1})
    await fleet.killed(bot_id)
    await fleet.killed(bot_id)
    await fleet.given_up(bot_id, "crash_loop")
    return bot_id, ""


async def restart_policy(fleet: Operated) -> tuple[str, str]:
    bot_id = await fleet.add("policy")
    await fleet.stack.bots.override(bot_id, {"restart_policy": "never"})
    await fleet.killed(bot_id)
    await fleet.given_up(bot_id, "restart_policy")
    return bot_id, ""


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        token_refused,
        intents_refused,
        sharding_required,
        gateway_version_refused,
        token_unreadable,
        secret_unreadable,
        crash_loop,
        restart_policy,
    )
}


@pytest.mark.nightly
async def test_each_reason_for_giving_up_is_cured_by_the_command_that_it_prints(fleet: Operated) -> None:
    given_up = {row.code: row for row in REASONS.values() if row.verdict is Verdict.GIVE_UP}
    assert SCENARIOS.keys() == given_up.keys(), "a new reason needs somebody who follows its remedy here"
    cured = await asyncio.gather(*(scenario(fleet) for scenario in SCENARIOS.values()))
    names = {row.bot.id: row.bot.name for row in await fleet.stack.store.fleet()}
    for code, (bot_id, typed) in zip(SCENARIOS, cured, strict=True):
        for words in commands_in(given_up[code].remedy):
            ended, said = await fleet.cli(*(names[bot_id] if word == "NAME" else word for word in words), stdin=typed)
            assert ended == 0, (code, words, said)
        assert (await fleet.stack.status(bot_id)).ready, code


async def test_a_new_token_keeps_all_that_the_bot_has_and_costs_one_session_start(fleet: Operated) -> None:
    stack, now = fleet.stack, "kept"
    bot_id = await fleet.add(now, config=BotConfig(cache=Cache.MEMBERS))
    await stack.bots.override(bot_id, {"max_failures": 7})
    before = await stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    stored = await stack.bots.get(bot_id)
    token = (await fleet.discord(now, "token-reset"))["token"]
    ended, said = await fleet.cli("bots", "token", now, stdin=f"{token}\n")
    assert (ended, said) == (0, "kept: ready with its new token\n")
    after = await stack.bots.get(bot_id)
    assert (after.bot.config, after.bot.overrides) == (stored.bot.config, stored.bot.overrides)
    assert after.status.generation > before.generation
    assert stack.vault.decrypt((await stack.bots.tokens_encrypted())[bot_id]) == token
    page = await SqlHappenings(stack.database).page(HappeningFilter(bot=now, code="token_replaced"), 5, None)
    assert len(page.items) == 1
    answer = await fleet.discord(now, "interactions", command="ping")
    assert answer["status"] == "answered"
    # The next restart resumes: its session is the new token's own.
    there = await stack.sandbox("GET", f"/applications/{fleet.applications[now]}")
    assert (await fleet.cli("bots", "restart", now))[0] == 0
    resumed = await stack.sandbox("GET", f"/applications/{fleet.applications[now]}")
    assert (resumed["identifies"], resumed["resumes"]) == (there["identifies"], there["resumes"] + 1)


async def test_a_bot_that_runs_well_takes_another_token_of_its_own_and_none_of_another_application(
    fleet: Operated,
) -> None:
    bot_id = await fleet.add("well")
    before = await fleet.stack.observed(bot_id, lambda s: s.ready, "READY", PATIENCE_S)
    other = (await fleet.stack.sandbox("POST", "/applications", name="other"))["token"]
    ended, said = await fleet.cli("bots", "token", "well", stdin=other)
    assert ended == 1
    assert "This token belongs to application" in said
    assert other not in said
    after = await fleet.stack.status(bot_id)
    assert (after.pid, after.epoch) == (before.pid, before.epoch)

    token = fleet.stack.vault.decrypt((await fleet.stack.bots.tokens_encrypted())[bot_id])
    assert (await fleet.cli("bots", "token", "well", stdin=token))[0] == 0
    assert (await fleet.stack.status(bot_id)).generation == before.generation + 1
