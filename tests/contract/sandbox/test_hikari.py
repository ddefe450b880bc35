"""An unchanged hikari + lightbulb bot, pointed at the sandbox, behaves as it does on Discord."""

import asyncio
from collections.abc import AsyncIterator, Callable

import hikari
import lightbulb
import pytest

from tests.contract.sandbox.conftest import Sandbox

WAIT_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - hikari offers no event for these conditions
            await asyncio.sleep(0.005)


def build(url: str, token: str) -> tuple[hikari.GatewayBot, list[str]]:
    bot = hikari.GatewayBot(token, rest_url=f"{url}/api/v10", banner=None, logs=None, force_color=False)
    client = lightbulb.client_from_app(bot)
    bot.subscribe(hikari.StartingEvent, client.start)
    handled: list[str] = []

    @client.register
    class Echo(lightbulb.SlashCommand, name="echo", description="Says it again"):
        text = lightbulb.string("text", "What to say", choices=[lightbulb.Choice("A", "a"), lightbulb.Choice("B", "b")])
        times = lightbulb.integer("times", "How often", default=1)

        @lightbulb.invoke
        async def run(self, context: lightbulb.Context) -> None:
            handled.append(self.text)
            await context.respond(self.text * self.times, embed=hikari.Embed(title="Echo"))

    @client.register
    class Slow(lightbulb.SlashCommand, name="slow", description="Defers, then answers with a file"):
        @lightbulb.invoke
        async def run(self, context: lightbulb.Context) -> None:
            await context.defer(ephemeral=True)
            await context.respond("done", attachment=hikari.Bytes(b"x" * 10, "x.txt"))
            handled.append("slow")

    return bot, handled


@pytest.fixture
async def running(sandbox: Sandbox) -> AsyncIterator[tuple[hikari.GatewayBot, list[str], str]]:
    application_id, token = await sandbox.application()
    bot, handled = build(sandbox.url, token)
    await bot.start(check_for_updates=False)
    yield bot, handled, application_id
    if bot.is_alive:
        await bot.close()


Running = tuple[hikari.GatewayBot, list[str], str]


async def test_bot_becomes_ready_and_registers_its_commands(sandbox: Sandbox, running: Running) -> None:
    bot, _, application_id = running
    await until(lambda: len(bot.cache.get_guilds_view()) == 1)
    state = await sandbox.control("GET", f"/applications/{application_id}")
    assert state["commands"] == ["echo", "slow"]
    assert (state["sessions_connected"], state["identifies"], state["remaining"]) == (1, 1, 999)
    assert (await sandbox.control("GET", "/unknown"))["items"] == []


async def test_bot_answers_an_injected_interaction(sandbox: Sandbox, running: Running) -> None:
    body = {"command": "echo", "options": {"text": "b", "times": 2}}
    outcome = await sandbox.control("POST", f"/applications/{running[2]}/interactions", body)
    assert outcome["status"] == "answered"
    assert outcome["message"]["content"] == "bb"
    assert 0 < outcome["elapsed_ms"] < 3000


async def test_bot_defers_and_answers_later_with_a_multipart_body(sandbox: Sandbox, running: Running) -> None:
    _, handled, application_id = running
    path = f"/applications/{application_id}/interactions"
    outcome = await sandbox.control("POST", path, {"command": "slow"})
    assert outcome["status"] == "deferred"
    await until(lambda: handled == ["slow"])
    later = await sandbox.control("GET", f"{path}/{outcome['interaction_id']}")
    assert (later["message"]["content"], later["message"]["flags"]) == ("done", 64)


async def test_second_start_finds_its_commands_unchanged(sandbox: Sandbox, running: Running) -> None:
    bot, _, application_id = running
    application = sandbox.discord.world.find(application_id)
    assert application is not None
    before = application.commands.of(None)
    await bot.close()
    successor, _ = build(sandbox.url, sandbox.discord.world.token_of(application))
    await successor.start(check_for_updates=False)
    await successor.close()
    assert application.commands.of(None) == before
    assert sandbox.discord.sessions.of(application_id) == []


@pytest.mark.parametrize("code", [4000, None])
async def test_bot_resumes_after_a_lost_connection_and_handles_what_it_missed(
    sandbox: Sandbox, running: Running, code: int | None
) -> None:
    _, handled, application_id = running
    application = sandbox.discord.world.find(application_id)
    assert application is not None
    await sandbox.control("POST", f"/applications/{application_id}/close", {"code": code})
    await until(lambda: sandbox.discord.sessions.clients_of(application_id) == [])
    body = {"command": "echo", "options": {"text": "a"}, "wait_ms": 0}
    outcome = await sandbox.control("POST", f"/applications/{application_id}/interactions", body)
    assert (outcome["status"], outcome["sessions"]) == ("timed_out", 1)
    await until(lambda: handled == ["a"])
    assert (application.identifies, application.resumes) == (1, 1)


async def test_bot_resumes_when_asked_to_reconnect(sandbox: Sandbox, running: Running) -> None:
    application = sandbox.discord.world.find(running[2])
    assert application is not None
    assert await sandbox.control("POST", f"/applications/{application.id}/reconnect") == {"asked": 1}
    await until(lambda: application.resumes == 1)
    assert application.identifies == 1


async def test_bot_posts_edits_and_reads_messages(
    sandbox: Sandbox, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    bot, _, application_id = running
    seen: list[str] = []

    @bot.listen()
    async def created(event: hikari.GuildMessageCreateEvent) -> None:
        seen.append(f"created {event.content}")

    @bot.listen()
    async def updated(event: hikari.GuildMessageUpdateEvent) -> None:
        seen.append(f"updated {event.content}")

    home = await sandbox.control("GET", f"/applications/{application_id}")
    channel = await bot.rest.fetch_channel(int(home["channel_id"]))
    message = await bot.rest.create_message(channel.id, "hello", nonce="n1", embed=hikari.Embed(description="d"))
    again = await bot.rest.create_message(channel.id, "hello", nonce="n1")
    assert again.id == message.id
    edited = await bot.rest.edit_message(channel.id, message.id, "bye")
    assert edited.content == "bye"
    assert edited.embeds[0].description == "d"
    assert [row.content async for row in bot.rest.fetch_messages(channel.id)] == ["bye"]
    guild = await bot.rest.fetch_guild(int(home["guild_id"]))
    assert guild.approximate_member_count == 2
    await bot.rest.delete_message(channel.id, message.id)
    with pytest.raises(hikari.NotFoundError):
        await bot.rest.fetch_message(channel.id, message.id)
    await until(lambda: seen == ["created hello", "updated bye"])
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_reset_token_stops_the_bot_with_4004(sandbox: Sandbox, running: Running) -> None:
    bot, _, application_id = running
    await sandbox.control("POST", f"/applications/{application_id}/token-reset")
    with pytest.raises(hikari.GatewayServerClosedConnectionError) as caught:
        await bot.join()
    assert caught.value.code == 4004
    with pytest.raises(hikari.UnauthorizedError):
        await bot.rest.fetch_my_user()


async def test_refused_privileged_intents_stop_the_bot_with_4014(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.control("POST", f"/applications/{application_id}/intents", {"refuse": True})
    intents = hikari.Intents.ALL_UNPRIVILEGED | hikari.Intents.MESSAGE_CONTENT
    bot = hikari.GatewayBot(token, rest_url=f"{sandbox.url}/api/v10", banner=None, logs=None, intents=intents)
    with pytest.raises(hikari.GatewayServerClosedConnectionError) as caught:
        await bot.start(check_for_updates=False)
    assert caught.value.code == 4014
    await bot.close()


async def test_bot_with_every_intent_is_accepted(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    bot = hikari.GatewayBot(
        token, rest_url=f"{sandbox.url}/api/v10", banner=None, logs=None, intents=hikari.Intents.ALL
    )
    await bot.start(check_for_updates=False)
    application = sandbox.discord.world.find(application_id)
    assert application is not None
    await until(lambda: len(bot.cache.get_members_view_for_guild(int(application.home_guild_id))) == 2)
    await bot.close()


async def test_bad_token_is_refused_before_the_gateway(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    bot = hikari.GatewayBot(token[:-4] + "AAAA", rest_url=f"{sandbox.url}/api/v10", banner=None, logs=None)
    with pytest.raises(hikari.UnauthorizedError):
        await bot.start(check_for_updates=False)
    await bot.close()


async def test_deaf_bot_stays_connected_and_hears_after_a_new_session(sandbox: Sandbox, running: Running) -> None:
    _, handled, application_id = running
    status, _ = await sandbox.call("POST", "/sandbox/faults", {"kind": "deaf", "applications": [application_id]})
    assert status == 201
    path = f"/applications/{application_id}/interactions"
    body = {"command": "echo", "options": {"text": "a"}, "wait_ms": 300}
    assert (await sandbox.control("POST", path, body))["status"] == "timed_out"
    state = await sandbox.control("GET", f"/applications/{application_id}")
    assert (state["sessions_connected"], state["identifies"], handled) == (1, 1, [])
    await sandbox.call("POST", "/sandbox/faults", {"kind": "refuse_resume"})
    await sandbox.call("POST", "/sandbox/faults", {"kind": "drop"})
    application = sandbox.discord.world.find(application_id)
    assert application is not None
    await until(lambda: application.identifies == 2 and len(sandbox.discord.sessions.clients_of(application_id)) == 1)
    assert (await sandbox.control("POST", path, body | {"wait_ms": 3000}))["status"] == "answered"
    assert handled == ["a"]


@pytest.mark.parametrize("kind", ["drop", "reconnect", "truncated_frame"])
async def test_bot_resumes_after_a_fault_of_the_line(sandbox: Sandbox, running: Running, kind: str) -> None:
    application = sandbox.discord.world.find(running[2])
    assert application is not None
    await sandbox.call("POST", "/sandbox/faults", {"kind": kind})
    await until(lambda: application.resumes == 1)
    assert application.identifies == 1


async def test_bot_waits_out_a_429_storm(sandbox: Sandbox, running: Running) -> None:
    bot, _, _ = running
    fault = {"kind": "rest_429", "retry_after_s": 0.2, "for_s": 0.3}
    await sandbox.call("POST", "/sandbox/faults", fault)
    assert (await bot.rest.fetch_my_user()).id == int(running[2])
    assert (await sandbox.control("GET", "/faults"))["items"][0]["struck"] >= 1
