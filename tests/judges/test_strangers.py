"""Bots made with discord.py and discord.js, unchanged but for the address, get along with the sandbox.

The tap in front of the sandbox judges what is said, as in all contract tests.
"""

import time
from collections.abc import AsyncIterator

import pytest

from tests.contract.sandbox.conftest import Sandbox
from tests.judges.stage import Stage, on_stage
from tests.judges.stranger import LIBRARIES, running
from tests.judges.tap import Tap

COMMANDS = ["Greet", "Quote", "ask", "echo", "find", "later", "moderate", "panel", "secret", "upload"]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def stage(sandbox: Sandbox, tap: Tap | None, library: str) -> AsyncIterator[Stage]:
    async with on_stage(sandbox, tap, library) as stage:
        yield stage
        stage.check()


async def test_bot_registers_commands_and_answers_them(stage: Stage) -> None:
    assert (await stage.bot.event("ready"))["guilds"] == [stage.guild_id]
    assert sorted(await stage.bot.do("sync")) == COMMANDS
    assert await stage.bot.do("sync", guild_id=stage.guild_id) == ["here"]
    said = await stage.use("echo", text="hi", times=2, loud=True)
    assert (said["status"], said["message"]["content"]) == ("answered", "HI HI")
    assert (await stage.use("here"))["message"]["content"] == f"in {stage.guild_id}"
    hidden = (await stage.use("secret"))["message"]
    assert (hidden["content"], hidden["flags"] & 64) == ("psst", 64)
    later = await stage.use("later")
    assert later["status"] == "deferred"
    original = await stage.bot.event("original")
    outcome = await stage.outcome(later)
    assert (original["content"], [embed["title"] for embed in original["embeds"]]) == ("done", ["Result"])
    assert outcome["message"]["content"] == "done"
    assert [message["content"] for message in outcome["follow_ups"]] == ["and more"]


async def test_bot_posts_edits_reads_and_deletes_messages(stage: Stage) -> None:
    where = {"channel_id": stage.channel_id}
    embed = {"title": "Title", "description": "Text"}
    sent = await stage.bot.do("send", content="hello", embed=embed, **where)
    assert (sent["content"], sent["embeds"]) == ("hello", [embed])
    one = {"message_id": sent["id"], **where}
    assert (await stage.bot.do("edit", content="bye", **one))["content"] == "bye"
    assert await stage.bot.do("fetch", **one) == sent | {"content": "bye"}
    assert [message["id"] for message in await stage.bot.do("history", limit=5, **where)] == [sent["id"]]
    assert (await stage.bot.event("message"))["id"] == sent["id"]
    await stage.bot.do("delete", **one)
    with pytest.raises(AssertionError, match="Unknown Message"):
        await stage.bot.do("fetch", **one)


async def test_bot_without_the_intent_sees_only_what_is_said_to_it(stage: Stage) -> None:
    await stage.write(stage.channel_id, "not for you", user={"username": "ann"})
    await stage.write(stage.channel_id, f"<@{stage.application_id}> for you", user={"username": "bob"})
    assert (await stage.bot.event("message", author="bob"))["content"] == f"<@{stage.application_id}> for you"
    assert (await stage.bot.event("message", author="ann"))["content"] == ""


async def test_bot_paces_itself_by_the_headers_and_is_never_refused(stage: Stage, tap: Tap | None) -> None:
    began = time.monotonic()
    sent = await stage.bot.do("burst", channel_id=stage.channel_id, count=7)
    assert sent == [f"message {number}" for number in range(7)]
    assert time.monotonic() - began > 4  # the bucket holds five messages in five seconds
    if tap is not None:
        assert tap.statuses[429] == 0


async def test_bot_that_is_refused_waits_as_told_and_gets_through(stage: Stage, tap: Tap | None) -> None:
    path = f"/channels/{stage.channel_id}/messages"
    for _ in range(5):  # behind the bot's back, with its token
        assert (await stage.sandbox.rest("POST", path, stage.token, {"content": "x"}))[0] == 200
    assert (await stage.bot.do("send", channel_id=stage.channel_id, content="at last"))["content"] == "at last"
    if tap is not None:
        assert tap.statuses[429] == 1


async def test_bot_stops_when_its_token_is_reset(stage: Stage) -> None:
    await stage.order("token-reset")
    assert (await stage.bot.event("stopped"))["code"] == 4004


async def test_discord_py_gets_zstd_stream_where_it_asks_for_it(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    async with running("discord.py", sandbox.url, token, compress="zstd-stream") as bot:
        await bot.event("ready")
