from typing import Any

import pytest

from sandbox import acting, limits
from sandbox.errors import DiscordError
from sandbox.interactions import acts
from sandbox.interactions.interactions import Interaction
from sandbox.interactions.options import ActError
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.rest.interactions import callback_result as result_of
from sandbox.tokens import Mint
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, Guild
from sandbox.world.objects import Json
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
    place = acting.place_of(discord, discord.world.channels[application.home_channel_id])
    act = acts.use_command(application, place, application.owner, command, options)
    return acting.perform(discord, application, application.owner, place, act)[0]


def callback_result(discord: LocalDiscord, interaction: Interaction) -> Json:
    return result_of(interaction, discord.interactions.original(interaction))


@pytest.fixture
def interaction(discord: LocalDiscord, application: Application, bot: FakeSocket) -> Interaction:
    return use(discord, application, "ping")


def respond(discord: LocalDiscord, interaction: Interaction, kind: Any, data: Any = None) -> None:
    body = {"type": kind, "data": data}
    discord.interactions.respond(interaction.id, interaction.token, body, [], discord.clock())


def test_options_reach_the_bot_with_what_they_name(
    discord: LocalDiscord, application: Application, bot: FakeSocket
) -> None:
    use(
        discord, application, "paint", colour="red", count=3, loud=True,
        who=application.owner.id, where=application.home_channel_id, role=application.home_guild_id, ratio=1,
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
        ("paint", {"colour": "red", "where": "1"}, "no 1 for the user to pick"),
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
    with pytest.raises(ActError, match=message):
        use(discord, application, command, **options)


def test_guild_command_is_marked_as_one(discord: LocalDiscord, application: Application, bot: FakeSocket) -> None:
    guild_id = application.home_guild_id
    application.commands.create(application.id, guild_id, COMMANDS[0], discord.ids, discord.clock())
    use(discord, application, "ping")
    assert bot.payloads[-1]["d"]["data"]["guild_id"] == guild_id


def test_answer_makes_the_original_message(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    called: list[bool] = []
    interaction.on_response = lambda: called.append(True)
    clock.now += 0.25
    respond(discord, interaction, 4, {"content": "pong", "flags": 64})
    assert (interaction.status, interaction.elapsed_ms, called) == ("answered", 250.0, [True])
    result = callback_result(discord, interaction)
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


def test_an_interaction_waits_for_its_first_response_as_long_as_the_sandbox_was_told() -> None:
    clock = FakeClock()
    discord = LocalDiscord(Mint(b"a secret of the tests"), clock, Rules(initial_response_s=60.0))
    application = discord.world.register("slow")
    application.commands.overwrite(application.id, None, COMMANDS, discord.ids, clock.now)
    in_time, too_late = use(discord, application, "ping"), use(discord, application, "ping")
    clock.now += 60
    respond(discord, in_time, 5)
    clock.now += 0.1
    with pytest.raises(DiscordError) as caught:
        respond(discord, too_late, 5)
    assert caught.value.fault.code == 10062


def test_answer_with_a_wrong_token_is_refused_with_10062(discord: LocalDiscord, interaction: Interaction) -> None:
    for interaction_id, token in ((interaction.id, "wrong"), ("1", interaction.token)):
        with pytest.raises(DiscordError) as caught:
            discord.interactions.respond(interaction_id, token, {"type": 5}, [], discord.clock())
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
    field = {"type": 4, "custom_id": "f", "style": 1, "label": "l"}
    respond(
        discord, interaction, 9, {"title": "t", "custom_id": "m", "components": [{"type": 1, "components": [field]}]}
    )
    assert "resource" not in callback_result(discord, interaction)


def test_deferred_answer_is_filled_by_an_edit(
    discord: LocalDiscord, interaction: Interaction, clock: FakeClock
) -> None:
    respond(discord, interaction, 5, {"flags": 64})
    assert interaction.status == "deferred"
    assert callback_result(discord, interaction)["interaction"]["response_message_loading"] is True
    clock.now += 800
    body = {"content": "done"}
    message = discord.interactions.edit(interaction.application_id, interaction.token, "@original", body, [], clock.now)
    assert (message["content"], message["flags"], message["edited_timestamp"]) == ("done", 64, None)


def test_follow_ups_live_beside_the_original(discord: LocalDiscord, interaction: Interaction, clock: FakeClock) -> None:
    respond(discord, interaction, 5)
    app, token, now = interaction.application_id, interaction.token, clock.now
    store = discord.interactions
    filled, is_new = store.follow_up(app, token, {"content": "fills the deferral"}, [], now)
    assert not is_new
    assert filled == store.get(app, token, "@original", now)
    second, is_new = store.follow_up(app, token, {"content": "second"}, [], now)
    assert is_new
    assert store.follow_ups(interaction) == [second]
    assert store.edit(app, token, second["id"], {"content": "changed"}, [], now)["content"] == "changed"
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


BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
MENU = {"type": 3, "custom_id": "menu", "options": [{"label": "A", "value": "a"}, {"label": "B", "value": "b"}]}
ROWS = [{"type": 1, "components": [BUTTON]}, {"type": 1, "components": [MENU]}]


def press(discord: LocalDiscord, application: Application, message: Json, custom_id: str, *values: str) -> Interaction:
    place = acting.place_of(discord, discord.world.channels[message["channel_id"]])
    act = acts.use_component(place, application.owner, message, custom_id, list(values) if values else None)
    return acting.perform(discord, application, application.owner, place, act)[0]


@pytest.fixture
def answered(discord: LocalDiscord, interaction: Interaction) -> Json:
    respond(discord, interaction, 4, {"content": "x", "components": ROWS})
    original = discord.interactions.original(interaction)
    assert original is not None
    return original


def test_button_reaches_the_bot_with_its_message(
    discord: LocalDiscord, application: Application, bot: FakeSocket, answered: Json
) -> None:
    press(discord, application, answered, "go")
    event = bot.payloads[-1]["d"]
    assert (event["type"], event["message"]["id"]) == (3, answered["id"])
    assert event["data"] == {"custom_id": "go", "component_type": 2, "id": 2}


def test_menu_carries_what_was_picked(
    discord: LocalDiscord, application: Application, bot: FakeSocket, answered: Json
) -> None:
    press(discord, application, answered, "menu", "b")
    assert bot.payloads[-1]["d"]["data"]["values"] == ["b"]


@pytest.mark.parametrize(
    ("custom_id", "values", "message"),
    [
        ("nothing", (), "it has: \\['go', 'menu'\\]"),
        ("go", ("a",), "is a button"),
        ("menu", (), "takes 1 to 1 values"),
        ("menu", ("c",), "does not offer 'c'"),
    ],
)
def test_use_of_a_component_that_cannot_be_says_what_can(
    discord: LocalDiscord, application: Application, answered: Json, custom_id: str, values: Any, message: str
) -> None:
    with pytest.raises(ActError, match=message):
        press(discord, application, answered, custom_id, *values)


def test_update_changes_the_message_of_the_component(
    discord: LocalDiscord, application: Application, answered: Json
) -> None:
    interaction = press(discord, application, answered, "go")
    respond(discord, interaction, 7, {"content": "changed", "components": []})
    assert discord.messages.get(answered["channel_id"], answered["id"])["content"] == "changed"
    assert callback_result(discord, interaction)["resource"]["type"] == 7


def test_deferred_update_leaves_the_message_and_makes_it_the_original(
    discord: LocalDiscord, application: Application, answered: Json, clock: FakeClock
) -> None:
    interaction = press(discord, application, answered, "go")
    respond(discord, interaction, 6)
    app, token = interaction.application_id, interaction.token
    assert (interaction.status, answered["content"]) == ("deferred", "x")
    discord.interactions.edit(app, token, "@original", {"content": "later"}, [], clock.now)
    assert discord.messages.get(answered["channel_id"], answered["id"])["content"] == "later"
    follow_up, is_new = discord.interactions.follow_up(app, token, {"content": "more"}, [], clock.now)
    assert is_new
    assert follow_up["message_reference"]["message_id"] == answered["id"]


def test_slash_command_cannot_be_answered_with_an_update(discord: LocalDiscord, interaction: Interaction) -> None:
    with pytest.raises(DiscordError) as caught:
        respond(discord, interaction, 7, {"content": "x"})
    assert caught.value.errors == {
        "type": {"_errors": [{"code": "BASE_TYPE_CHOICES", "message": "Value must be one of {4, 5, 9}."}]}
    }


def test_ephemeral_message_stays_out_of_the_channel_and_its_buttons_work(
    discord: LocalDiscord, application: Application, interaction: Interaction, channel: Channel
) -> None:
    respond(discord, interaction, 4, {"content": "secret", "flags": 64, "components": ROWS})
    original = discord.interactions.original(interaction)
    assert original is not None
    assert discord.messages.page(channel.id, 10) == []
    assert acting.visible_message(discord, channel, original["id"]) == original
    pressed = press(discord, application, original, "go")
    respond(discord, pressed, 7, {"content": "still secret"})
    changed = acting.visible_message(discord, channel, original["id"])
    assert (changed["content"], changed["flags"]) == ("still secret", 64)


def modal(discord: LocalDiscord, interaction: Interaction, **more: Any) -> None:
    field = {"type": 4, "custom_id": "name", "style": 1, "label": "Name", "min_length": 2, **more}
    label = {"type": 18, "label": "Kind", "component": {**MENU, "required": False}}
    data = {"title": "t", "custom_id": "form", "components": [{"type": 1, "components": [field]}, label]}
    respond(discord, interaction, 9, data)


def test_modal_comes_back_with_its_fields(
    discord: LocalDiscord, application: Application, bot: FakeSocket, interaction: Interaction, channel: Channel
) -> None:
    modal(discord, interaction)
    act = acts.submit_modal(interaction, {"name": "Ann"})
    submitted, _ = acting.perform(discord, application, application.owner, acting.place_of(discord, channel), act)
    event = bot.payloads[-1]["d"]
    assert (event["type"], event["data"]["custom_id"]) == (5, "form")
    assert event["data"]["components"][0]["components"][0]["value"] == "Ann"
    respond(discord, submitted, 4, {"content": "thanks"})
    metadata = (discord.interactions.original(submitted) or {})["interaction_metadata"]
    assert metadata["triggering_interaction_metadata"]["id"] == interaction.id


@pytest.mark.parametrize(
    ("fields", "message"),
    [({}, "'name' is required"), ({"name": "A"}, "2 to 4000 characters"), ({"name": "Ann", "x": "y"}, "no field 'x'")],
)
def test_modal_with_wrong_fields_says_what_is_wrong(
    discord: LocalDiscord, interaction: Interaction, fields: dict[str, Any], message: str
) -> None:
    modal(discord, interaction)
    with pytest.raises(ActError, match=message):
        acts.submit_modal(interaction, fields)


def test_interaction_without_a_modal_has_nothing_to_submit(discord: LocalDiscord, interaction: Interaction) -> None:
    with pytest.raises(ActError, match="not answered with a modal"):
        acts.submit_modal(interaction, {})


SEARCH = {
    "name": "search",
    "description": "d",
    "options": [
        {"type": 3, "name": "what", "description": "d", "required": True, "autocomplete": True},
        {"type": 4, "name": "page", "description": "d", "min_value": 1, "max_value": 9},
        {"type": 3, "name": "short", "description": "d", "max_length": 3},
    ],
}


def test_autocomplete_asks_for_choices_and_takes_them(
    discord: LocalDiscord, application: Application, bot: FakeSocket, channel: Channel
) -> None:
    application.commands.create(application.id, None, SEARCH, discord.ids, discord.clock())
    place = acting.place_of(discord, channel)
    act = acts.type_option(application, place, application.owner, "search", {"what": "ap"}, "what")
    interaction, _ = acting.perform(discord, application, application.owner, place, act)
    (option,) = bot.payloads[-1]["d"]["data"]["options"]
    assert option == {"type": 3, "name": "what", "value": "ap", "focused": True}
    with pytest.raises(DiscordError):
        respond(discord, interaction, 8, {"choices": [{"name": "x" * 101}]})
    respond(discord, interaction, 8, {"choices": [{"name": "apple", "value": "apple"}]})
    assert (interaction.status, discord.interactions.original(interaction)) == ("answered", None)
    with pytest.raises(ActError, match=r"with autocomplete: \['what'\]"):
        acts.type_option(application, place, application.owner, "search", {}, "page")


@pytest.mark.parametrize(("option", "value"), [("page", 0), ("page", 10), ("short", "long")])
def test_option_outside_its_bounds_is_refused(
    discord: LocalDiscord, application: Application, bot: FakeSocket, option: str, value: Any
) -> None:
    application.commands.create(application.id, None, SEARCH, discord.ids, discord.clock())
    with pytest.raises(ActError, match=f"option '{option}' takes a"):
        use(discord, application, "search", what="x", **{option: value})


def test_context_menus_carry_their_target(
    discord: LocalDiscord, application: Application, bot: FakeSocket, channel: Channel
) -> None:
    for kind, name in ((2, "Who"), (3, "Report")):
        application.commands.create(application.id, None, {"name": name, "type": kind}, discord.ids, discord.clock())
    place = acting.place_of(discord, channel)
    written = acting.write(discord, channel, application.owner, {"content": "hello"})
    for name, target in (("Who", application.owner), ("Report", written)):
        act = acts.use_on(application, place, application.owner, name, target)
        acting.perform(discord, application, application.owner, place, act)
    who, report = (payload["d"]["data"] for payload in bot.payloads[-2:])
    assert (who["target_id"], set(who["resolved"])) == (application.owner.id, {"users", "members"})
    assert report["resolved"]["messages"][written["id"]]["content"] == "hello"


@pytest.mark.parametrize(
    ("more", "message"),
    [({"contexts": [1]}, "cannot be used in a guild"), ({"default_member_permissions": "0"}, "lacks the permissions")],
)
def test_command_is_kept_from_those_who_may_not_use_it(
    discord: LocalDiscord, application: Application, channel: Channel, guild: Guild, more: Json, message: str
) -> None:
    command = {"name": "staff", "description": "d", **more}
    application.commands.create(application.id, None, command, discord.ids, discord.clock())
    person = discord.world.new_person("eve", discord.clock())
    discord.world.join(guild, person, discord.clock())
    with pytest.raises(ActError, match=message):
        acts.use_command(application, acting.place_of(discord, channel), person, "staff", {})


def test_command_in_private_comes_from_a_user_without_a_guild(
    discord: LocalDiscord, application: Application, bot: FakeSocket
) -> None:
    dm = discord.world.dm(application, application.owner)
    place = acting.place_of(discord, dm)
    act = acts.use_command(application, place, application.owner, "ping", {})
    acting.perform(discord, application, application.owner, place, act)
    event = bot.payloads[-1]["d"]
    assert (event["context"], event["user"]["id"], "member" in event) == (1, application.owner.id, False)


def test_user_without_the_permission_cannot_use_applications(
    discord: LocalDiscord, application: Application, channel: Channel, guild: Guild
) -> None:
    person = discord.world.new_person("eve", discord.clock())
    discord.world.join(guild, person, discord.clock())
    guild.everyone.permissions = 1 << 10
    place = acting.place_of(discord, channel)
    application.commands.create(application.id, None, COMMANDS[0], discord.ids, discord.clock())
    act = acts.use_command(application, place, person, "ping", {})
    with pytest.raises(ActError, match="may not use applications"):
        acting.perform(discord, application, person, place, act)
