import pytest

from sandbox import acting, changes, posting
from sandbox.errors import DiscordError
from sandbox.interactions.options import ActError
from sandbox.local_discord import Clock, LocalDiscord
from sandbox.world import permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, ChannelType, Guild, Overwrite
from sandbox.world.permissions import Permission
from sandbox.world.users import User
from tests.unit.sandbox.conftest import FakeClock, FakeSocket

MESSAGES, CONTENT, MEMBERS, DIRECT = 1 << 9, 1 << 15, 1 << 1, 1 << 12


@pytest.fixture
def ann(discord: LocalDiscord, guild: Guild) -> User:
    person = discord.world.new_person("ann", discord.clock())
    discord.world.join(guild, person, discord.clock())
    return person


def connect(discord: LocalDiscord, application: Application, intents: int = 1) -> FakeSocket:
    socket = FakeSocket(discord)
    socket.identify(discord.world.token_of(application), intents=intents)
    return socket


# Permissions


def test_owner_and_administrators_may_do_everything(discord: LocalDiscord, guild: Guild, ann: User) -> None:
    assert permissions.in_guild(guild, guild.owner_id) == permissions.ALL
    role = discord.world.new_role(guild, "admin", int(Permission.ADMINISTRATOR), discord.clock())
    guild.members[ann.id].roles.append(role.id)
    assert permissions.in_guild(guild, ann.id) == permissions.ALL
    assert permissions.in_guild(guild, "1") == 0


def test_overwrites_apply_in_discords_order(discord: LocalDiscord, guild: Guild, channel: Channel, ann: User) -> None:
    role = discord.world.new_role(guild, "r", 0, discord.clock())
    guild.members[ann.id].roles.append(role.id)
    send, view = int(Permission.SEND_MESSAGES), int(Permission.VIEW_CHANNEL)

    def may_send(*rows: Overwrite) -> bool:
        channel.overwrites = {row.id: row for row in rows}
        return bool(permissions.in_channel(guild, channel, ann.id) & send)

    everyone_denied = Overwrite(guild.id, 0, 0, send)
    role_allowed = Overwrite(role.id, 0, send, 0)
    member_denied = Overwrite(ann.id, 1, 0, send)
    assert may_send()
    assert not may_send(everyone_denied)
    assert may_send(everyone_denied, role_allowed)
    assert not may_send(everyone_denied, role_allowed, member_denied)
    assert not may_send(Overwrite(ann.id, 1, send, view)), "without VIEW_CHANNEL nothing is left"


def test_without_sending_nothing_that_needs_it_is_left(guild: Guild, channel: Channel, ann: User) -> None:
    channel.overwrites = {guild.id: Overwrite(guild.id, 0, 0, int(Permission.SEND_MESSAGES))}
    assert not permissions.in_channel(guild, channel, ann.id) & Permission.EMBED_LINKS


# Guilds shared by bots


def test_bot_that_joins_learns_of_the_guild_and_the_others_of_it(
    discord: LocalDiscord, application: Application, guild: Guild
) -> None:
    other = discord.world.register("beta")
    mine, theirs = connect(discord, application, intents=1 | MEMBERS), connect(discord, other)
    changes.join(discord, guild, other.bot, [])
    assert theirs.payloads[-1]["d"]["id"] == guild.id
    assert {"GUILD_MEMBER_ADD", "GUILD_ROLE_CREATE"} <= set(mine.events)
    changes.leave(discord, guild, other.id)
    assert theirs.payloads[-1] == {**theirs.payloads[-1], "t": "GUILD_DELETE", "d": {"id": guild.id}}
    assert mine.events[-1] == "GUILD_MEMBER_REMOVE"
    assert guild.role_of_bot(other.id) is None


def test_message_reaches_every_bot_of_the_guild_with_the_content_for_those_who_may_read_it(
    discord: LocalDiscord, application: Application, guild: Guild, channel: Channel, ann: User
) -> None:
    other = discord.world.register("beta")
    discord.world.join(guild, other.bot, discord.clock())
    reader = connect(discord, application, intents=MESSAGES | CONTENT)
    bare, deaf = connect(discord, other, intents=MESSAGES), connect(discord, discord.world.register("gamma"), MESSAGES)
    acting.write(discord, channel, ann, {"content": "hello"})
    assert reader.payloads[-1]["d"]["content"] == "hello"
    assert (bare.payloads[-1]["d"]["content"], bare.payloads[-1]["d"]["member"]["nick"]) == ("", None)
    acting.write(discord, channel, ann, {"content": f"<@{other.id}> look"})
    assert bare.payloads[-1]["d"]["content"] == f"<@{other.id}> look"
    assert "MESSAGE_CREATE" not in deaf.events


def test_bot_that_may_not_view_a_channel_hears_and_reads_nothing_of_it(
    discord: LocalDiscord, application: Application, guild: Guild, channel: Channel, ann: User
) -> None:
    socket = connect(discord, application, intents=1 | MESSAGES)
    role = guild.role_of_bot(application.id)
    assert role is not None
    channel.overwrites = {role.id: Overwrite(role.id, 0, 0, int(Permission.VIEW_CHANNEL))}
    acting.write(discord, channel, ann, {"content": "hello"})
    changes.channel_changed(discord, channel)
    assert socket.events == ["READY", "GUILD_CREATE"]
    with pytest.raises(DiscordError) as caught:
        discord.world.channel_for(application, channel.id)
    assert caught.value.fault.code == 50001


def test_guild_that_is_joined_is_told_from_one_that_was_there(discord: LocalDiscord, application: Application) -> None:
    socket = connect(discord, application)
    assert socket.payloads[-1]["d"]["unavailable"] is False
    town = discord.world.new_guild("town", discord.world.new_person("owner", discord.clock()), discord.clock())
    changes.join(discord, town, application.bot, [])
    event = socket.payloads[-1]["d"]
    assert (event["id"], "unavailable" in event, event["member_count"]) == (town.id, False, 2)
    assert [row["user"]["id"] for row in event["members"]] == [application.id]


def test_user_who_may_not_write_is_told(discord: LocalDiscord, guild: Guild, channel: Channel, ann: User) -> None:
    guild.everyone.permissions = int(Permission.VIEW_CHANNEL)
    with pytest.raises(ActError, match="may not write"):
        acting.write(discord, channel, ann, {"content": "hello"})


def test_private_message_reaches_the_bot_alone(discord: LocalDiscord, application: Application, ann: User) -> None:
    socket = connect(discord, application, intents=DIRECT)
    dm = discord.world.dm(application, ann)
    assert discord.world.dm(application, ann) is dm
    acting.write(discord, dm, ann, {"content": "psst"})
    event = socket.payloads[-1]["d"]
    assert (event["content"], "guild_id" in event, event["channel_type"]) == ("psst", False, 1)
    posting.delete(discord, dm, event["id"])
    assert socket.payloads[-1]["d"] == {"id": event["id"], "channel_id": dm.id}


def test_bot_hears_of_its_own_roles_without_the_intent_and_of_others_only_with_it(
    discord: LocalDiscord, application: Application, guild: Guild, ann: User
) -> None:
    socket = connect(discord, application, intents=1)
    changes.member_changed(discord, guild, guild.members[ann.id])
    assert "GUILD_MEMBER_UPDATE" not in socket.events
    changes.member_changed(discord, guild, guild.members[application.id])
    assert socket.events[-1] == "GUILD_MEMBER_UPDATE"


def test_channels_and_roles_come_and_go_with_their_events(
    discord: LocalDiscord, application: Application, guild: Guild, ann: User
) -> None:
    socket = connect(discord, application)
    channel = changes.new_channel(discord, guild, "news", ChannelType.GUILD_TEXT)
    changes.channel_made(discord, channel)
    role = changes.new_role(discord, guild, "staff", 8)
    guild.members[ann.id].roles.append(role.id)
    channel.overwrites[role.id] = Overwrite(role.id, 0, 0, 0)
    changes.role_changed(discord, guild, role)
    changes.delete_role(discord, guild, role)
    changes.delete_channel(discord, channel)
    changes.guild_changed(discord, guild)
    assert socket.events[2:] == [
        "CHANNEL_CREATE",
        "GUILD_ROLE_CREATE",
        "GUILD_ROLE_UPDATE",
        "GUILD_ROLE_DELETE",
        "CHANNEL_DELETE",
        "GUILD_UPDATE",
    ]
    assert (guild.members[ann.id].roles, channel.overwrites) == ([], {})
    assert channel.id not in discord.world.channels


def test_deleted_guild_is_gone_for_everyone(discord: LocalDiscord, application: Application, guild: Guild) -> None:
    socket = connect(discord, application)
    changes.delete_guild(discord, guild)
    assert socket.events[-1] == "GUILD_DELETE"
    assert discord.world.guilds_of(application.id) == []
    assert application.home_channel_id not in discord.world.channels


def test_ban_removes_a_member_and_is_lifted(
    discord: LocalDiscord, application: Application, guild: Guild, ann: User
) -> None:
    socket = connect(discord, application, intents=MEMBERS | (1 << 2))
    changes.ban(discord, guild, ann, "spam")
    changes.unban(discord, guild, ann)
    assert socket.events[1:] == ["GUILD_MEMBER_REMOVE", "GUILD_BAN_ADD", "GUILD_BAN_REMOVE"]


def test_renamed_bot_carries_its_name_everywhere(discord: LocalDiscord, application: Application, guild: Guild) -> None:
    discord.world.rename(application, User(application.id, "omega", bot=True))
    role = guild.role_of_bot(application.id)
    assert (guild.members[application.id].user.username, role and role.name) == ("omega", "omega")


def test_application_first_met_by_its_token_is_named_when_it_is_registered(discord: LocalDiscord) -> None:
    named = LocalDiscord(discord.world._mint, discord.clock, discord.rules)
    token = discord.world.token_of(discord.world.register("late"))
    met = named.world.authenticate(token)
    assert met is not None
    assert met.bot.username == f"app-{met.id}"
    assert named.world.register("late").bot.username == "late"


# What a session is told


def test_guild_create_lists_members_only_with_the_presence_intent(
    discord: LocalDiscord, application: Application, ann: User, clock: FakeClock
) -> None:
    few = connect(discord, application, intents=1)
    clock.now += 5
    many = connect(discord, application, intents=1 | (1 << 8))
    assert [len(each.payloads[-1]["d"]["members"]) for each in (few, many)] == [1, 3]
    assert many.payloads[-1]["d"]["member_count"] == 3


def test_members_come_in_chunks_of_a_thousand(discord: LocalDiscord, application: Application, guild: Guild) -> None:
    for number in range(1500):
        discord.world.join(guild, discord.world.new_person(f"m-{number}", discord.clock()), discord.clock())
    socket = connect(discord, application, intents=1 | MEMBERS)
    socket.send(8, {"guild_id": guild.id, "query": "", "limit": 0, "nonce": "n"})
    chunks = [payload["d"] for payload in socket.payloads if payload["t"] == "GUILD_MEMBERS_CHUNK"]
    assert [(len(c["members"]), c["chunk_index"], c["chunk_count"], c["nonce"]) for c in chunks] == [
        (1000, 0, 2, "n"),
        (502, 1, 2, "n"),
    ]
    socket.send(8, {"guild_id": guild.id, "query": "M-1", "limit": 5, "presences": True})
    assert len(socket.payloads[-1]["d"]["members"]) == 5
    socket.send(8, {"guild_id": guild.id, "user_ids": [application.id, "1"]})
    assert socket.payloads[-1]["d"]["not_found"] == ["1"]


def test_clock_moves_ahead_and_never_back() -> None:
    clock = Clock(lambda: 5.0)
    clock.advance(10)
    assert clock() == 15.0
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1)
