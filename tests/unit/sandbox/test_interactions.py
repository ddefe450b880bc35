from typing import Any

import pytest

from sandbox import limits
from sandbox.errors import DiscordError
from sandbox.interactions.interactions import Interaction, callback_result
from sandbox.interactions.invocation import InvocationError
from sandbox.local_discord import LocalDiscord
from sandbox.world.objects import User
from sandbox.world.world import Application
from tests.unit.sandbox.conftest import FakeClock, FakeSocket

OPTIONS = [
    {"type": 3, "name": "colour", "description": "d", "required": True, "choices": [{"name": "Red", "value": "red"}]},
    {"type": 4, "name": "count", "description": "d"},
    {"type": 5, "name": "loud", "description": "d"},
    {"type": 6, "name": "who", "description": "d"},
    {"type": 7, "name": "where", "description": "d"},
    {"type": 8, "name": "role", "description": "d"},
    {"type": 10, "name": "ratio", "description": "d"},
]
COMMANDS: list[dict[str, Any]] = [
    {"name": "ping", "description": "d"},
    {"name": "paint", "description": "d", "options": OPTIONS},
    {
        "name": "stock",
        "description": "d",
        "options": [
            {
                "type": 2,
                "name": "admin",
                "description": "d",
                "options": [{"type": 1, "name": "set", "description": "d", "options": OPTIONS[:1]}],
            },
            {"type": 1, "name": "show", "description": "d"},
        ],
    },
]


@pytest.fixture
def bot(discord: LocalDiscord, application: Application, token: str, clock: FakeClock) -> FakeSocket:
    application.commands.overwrite(application.id, None, COMMANDS, discord.ids, clock.now)
    socket = FakeSocket(discord)
    socket.identify(token)
    return socket


def use(discord: LocalDiscord, application: Application, command: str, **options: Any) -> Interaction:
    return discord.invoke(application, command, options, application.home.owner)[0]


@pytest.fixture
def interaction(discord: LocalDiscord, application: Application, bot: FakeSocket) -> Interaction:
    return use(discord, application, "ping")


def respond(discord: LocalDiscord, interaction: Interaction, kind: Any, data: Any = None) -> None:
    body = {"type": kind, "data": data}
    discord.interactions.respond(interaction.id, interaction.token, body, discord.clock())


def test_options_reach_the_bot_with_what_they_name(
    discord: LocalDiscord, application: Application, bot: FakeSocket
) -> None:
    home = application.home
    use(
        discord, application, "paint", colour="red", count=3, loud=True,
        who="9", where=home.channel_id, role=home.guild_id, ratio=1,
    )  # fmt: skip
    data = bot.payloads[-1]["d"]["data"]
    assert [option["value"] for option in data["options"][:3]] == ["red", 3, True]
    assert set(data["resolved"]) == {"users", "members", "channels", "roles"}


def test_sub_command_of_a_group_is_nested(discord: LocalDiscord, application: Application, bot: FakeSocket) -> None:
    use(discord, application, "stock admin set", colour="red")
    group = bot.payloads[-1]["d"]["data"]["options"][0]
    assert (group["type"], group["name"]) == (2, "admin")
    assert group["options"][0]["options"] == [{"type": 3, "name": "colour", "value": "red"}]


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("nothing", {}, "registered: paint, ping, stock"),
        ("", {}, "registered: paint, ping, stock"),
        ("ping", {"x": 1}, "has no option 'x'"),
        ("ping now", {}, "has no sub-command 'now'"),
        ("stock", {}, "needs a sub-command"),
        ("paint", {}, "requires the option 'colour'"),
        ("paint", {"colour": "blue"}, "takes one of"),
        ("paint", {"colour": "red", "count": True}, "not True"),
        ("paint", {"colour": "red", "count": "3"}, "not '3'"),
        ("paint", {"colour": "red", "who": "me"}, "takes an id"),
        ("paint", {"colour": "red", "where": "1"}, "no channel or role"),
    ],
)
def test_invocation_that_does_not_fit_says_what_would(
    discord: LocalDiscord,
    application: Application,
    bot: FakeSocket,
    command: str,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(InvocationError, match=message):
        use(discord, application, command, **options)


def test_guild_command_is_marked_as_one(discord: LocalDiscord, application: Application, bot: FakeSocket) -> None:
    guild_id = application.home.guild_id
    application.commands.create(application.id, guild_id, COMMANDS[0], discord.ids, discord.clock())
    use(discord, application, "ping")
    assert bot.payloads[-1]["d"]["data"]["guild_id"] == guild_id


def test_answer_makes_the_original_message(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    called: list[bool] = []
    interaction.on_response = lambda: called.append(True)
    clock.now += 0.25
    respond(discord, interaction, 4, {"content": "pong", "flags": 64})
    assert (interaction.status, interaction.elapsed_ms, called) == ("answered", 250.0, [True])
    result = callback_result(interaction)
    assert result["interaction"]["response_message_ephemeral"] is True
    assert result["resource"]["message"]["content"] == "pong"


def test_second_answer_is_refused_with_40060(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    respond(discord, interaction, 5)
    clock.now += 10
    with pytest.raises(DiscordError) as caught:
        respond(discord, interaction, 4, {"content": "x"})
    assert caught.value.fault.code == 40060


def test_answer_after_three_seconds_is_refused_with_10062(
    discord: LocalDiscord, interaction: Interaction, clock: FakeClock
) -> None:
    clock.now += 3.001
    with pytest.raises(DiscordError) as caught:
        respond(discord, interaction, 4, {"content": "x"})
    assert caught.value.fault.code == 10062
    assert interaction.status == "pending"


def test_answer_with_a_wrong_token_is_refused_with_10062(discord: LocalDiscord, interaction: Interaction) -> None:
    for interaction_id, token in ((interaction.id, "wrong"), ("1", interaction.token)):
        with pytest.raises(DiscordError) as caught:
            discord.interactions.respond(interaction_id, token, {"type": 5}, discord.clock())
        assert caught.value.fault.code == 10062


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [(6, None, 50035), ("4", None, 50035), (4, [], 50035), (5, {"flags": "x"}, 50035), (4, {}, 50006)],
)
def test_malformed_answer_is_refused_and_may_be_repeated(
    discord: LocalDiscord, interaction: Interaction, kind: Any, data: Any, code: int
) -> None:
    with pytest.raises(DiscordError) as caught:
        respond(discord, interaction, kind, data)
    assert caught.value.fault.code == code
    respond(discord, interaction, 9, {"title": "modal"})
    assert "resource" not in callback_result(interaction)


def test_deferred_answer_is_filled_by_an_edit(
    discord: LocalDiscord, interaction: Interaction, clock: FakeClock
) -> None:
    respond(discord, interaction, 5, {"flags": 64})
    assert interaction.status == "deferred"
    assert callback_result(interaction)["interaction"]["response_message_loading"] is True
    clock.now += 800
    body = {"content": "done"}
    message = discord.interactions.edit(interaction.application_id, interaction.token, "@original", body, clock.now)
    assert (message["content"], message["flags"], message["edited_timestamp"]) == ("done", 64, None)


def test_follow_ups_live_beside_the_original(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    respond(discord, interaction, 5)
    app, token, now = interaction.application_id, interaction.token, clock.now
    store = discord.interactions
    filled = store.follow_up(app, token, {"content": "fills the deferral"}, now)
    assert filled == store.get(app, token, "@original", now)
    second = store.follow_up(app, token, {"content": "second"}, now)
    assert store.edit(app, token, second["id"], {"content": "changed"}, now)["content"] == "changed"
    store.delete(app, token, second["id"], now)
    store.delete(app, token, "@original", now)
    for message_id in (second["id"], "@original"):
        with pytest.raises(DiscordError) as caught:
            store.get(app, token, message_id, now)
        assert caught.value.fault.code == 10008


def test_webhook_is_unknown_before_the_answer_and_void_after_fifteen_minutes(
    discord: LocalDiscord, interaction: Interaction, clock: FakeClock
) -> None:
    app, token = interaction.application_id, interaction.token
    with pytest.raises(DiscordError) as early:
        discord.interactions.get(app, token, "@original", clock.now)
    respond(discord, interaction, 5)
    with pytest.raises(DiscordError) as foreign:
        discord.interactions.get("1", token, "@original", clock.now)
    with pytest.raises(DiscordError) as late:
        discord.interactions.get(app, token, "@original", clock.now + 901)
    assert [caught.value.fault.code for caught in (early, foreign, late)] == [10015, 50027, 50027]


def test_expired_interactions_are_forgotten(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    discord.prune()
    assert discord.interactions.find(interaction.id) is interaction
    clock.now += 901
    discord.prune()
    assert discord.interactions.find(interaction.id) is None


def test_oldest_interaction_gives_way_when_there_are_too_many(
    discord: LocalDiscord, application: Application, interaction: Interaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INTERACTIONS_KEPT", 1)
    use(discord, application, "ping")
    assert discord.interactions.find(interaction.id) is None


def test_interaction_of_a_stranger_carries_the_stranger(
    discord: LocalDiscord, application: Application, bot: FakeSocket
) -> None:
    discord.invoke(application, "ping", {}, User("5", "eve"))
    assert bot.payloads[-1]["d"]["member"]["user"]["username"] == "eve"


def test_messages_reach_only_sessions_with_the_intent(
    discord: LocalDiscord, application: Application, bot: FakeSocket, token: str, clock: FakeClock
) -> None:
    clock.now += 5
    listener = FakeSocket(discord)
    listener.identify(token, intents=1 << 9)
    discord.message_changed(application, "MESSAGE_CREATE", {"id": "1"})
    assert (bot.events.count("MESSAGE_CREATE"), listener.events.count("MESSAGE_CREATE")) == (0, 1)
