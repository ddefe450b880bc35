"""What is kept of a local Discord is all that Discord would keep, and nothing of it gets lost in the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import limits
from sandbox.commands.book import CommandBook
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.messages.webhooks import Webhook
from sandbox.state.file import Keeper, StateFile
from sandbox.state.snapshot import restore, taken
from sandbox.tokens import Mint
from sandbox.world.guilds import MEMBER_OVERWRITE, ChannelType, Overwrite
from sandbox.world.objects import Json
from sandbox.world.users import User

NOW = 1_900_000_000.0
KEPT = {"ids", "clock", "world", "messages", "webhooks", "oauth2"}
FORGOTTEN = {
    *("rules", "url", "changes", "mint_token", "control_key"),  # how it was started, and what it is told by
    *(
        "sessions",
        "router",
        "interactions",
        "rate_limiter",
        "addresses",
        "credentials",
    ),  # Discord forgets them soon
    *("files", "failures", "unknown"),  # too large, or only of use to whoever looks at this process
}
KEPT_OF_WORLD = {"_applications", "_dms", "users", "guilds", "channels", "_memberships", "_memberships_total"}
NOT_STATE_OF_WORLD = {"_mint", "_ids", "_identify_interval_s"}


def a_discord(secret: bytes = b"s" * 32) -> LocalDiscord:
    return LocalDiscord(Mint(secret), lambda: NOW, Rules())


def furnished() -> LocalDiscord:
    """A Discord in which there is one of everything that is kept."""
    discord = a_discord()
    world = discord.world
    application = world.register("demo-1")
    world.reset_token(application)
    application.starts.identify(0, NOW)
    application.identifies = 1
    bodies = [{"name": "ping", "description": "Pong", "nsfw": True, "default_member_permissions": "8"}]
    application.commands.overwrite(application.id, None, bodies, discord.ids, NOW)
    application.commands.overwrite(application.id, application.home_guild_id, bodies, discord.ids, NOW)
    ann, bob = world.new_person("ann", NOW), world.new_person("bob", NOW)
    guild = world.new_guild("Shop", ann, NOW)
    world.join(guild, application.bot, NOW)
    role = world.new_role(guild, "staff", 8, NOW)
    member = world.join(guild, bob, NOW, [role.id])
    member.nick = "Bobby"
    guild.banned["77"] = (User("77", "eve"), "spam")
    category = world.new_channel(guild, "sales", ChannelType.GUILD_CATEGORY, NOW)
    channel = world.new_channel(guild, "orders", ChannelType.GUILD_TEXT, NOW)
    channel.parent_id, channel.topic, channel.last_pin_at = category.id, "tea", NOW
    channel.overwrites[bob.id] = Overwrite(bob.id, MEMBER_OVERWRITE, 1024, 2048)
    private = world.dm(application, bob)
    discord.webhooks.add(Webhook("91", "tok", channel.id, guild.id, "hook", ann, None))
    for where, text in ((channel.id, "first"), (private.id, "psst")):
        message: Json = {"id": discord.ids.next(NOW), "channel_id": where, "content": text, "author": bob.as_json()}
        discord.messages.keep(message | {"nonce": "n"})
        discord.messages.remember_nonce(bob.id, message | {"nonce": "n"}, NOW)
        discord.messages.reactions.add(message["id"], {"id": None, "name": "🍵"}, ann)
        discord.messages.pins.add(where, message["id"], NOW)
    discord.oauth2.clients.set_redirect_uris(application.id, ["https://example.com/back"])
    discord.clock.advance(60)
    return discord


def test_all_that_is_kept_comes_back_as_it_was() -> None:
    before, after = furnished(), a_discord()
    restore(after, taken(before))
    assert taken(after) == taken(before)
    (application,) = after.world
    assert application.bot.username == "demo-1"
    (was,) = before.world
    assert (application.id, application.starts, application.serial) == (was.id, was.starts, was.serial)
    assert application.commands.kept() == was.commands.kept()
    assert after.world.authenticate(before.world.token_of(application)) is application
    for name in ("guilds", "channels", "users", "_memberships", "_memberships_total", "_dms"):
        assert getattr(after.world, name) == getattr(before.world, name), name
    guild = next(guild for guild in after.world.guilds.values() if guild.name == "Shop")
    assert guild in after.world.guilds_of(application.id)
    channel = next(channel for channel in guild.channels.values() if channel.name == "orders")
    assert after.world.channels[channel.id] is channel
    assert after.messages.page(channel.id, 5) == before.messages.page(channel.id, 5)
    assert after.ids.next(NOW) == before.ids.next(NOW)
    assert after.clock() == before.clock()


def test_whatever_a_discord_has_is_kept_or_known_to_be_forgotten() -> None:
    discord = a_discord()
    assert vars(discord).keys() == KEPT | FORGOTTEN
    assert vars(discord.world).keys() == KEPT_OF_WORLD | NOT_STATE_OF_WORLD


def test_every_change_of_commands_is_kept() -> None:
    discord = a_discord()
    application = discord.world.register("demo-1")
    book, guild_id, ids = application.commands, application.home_guild_id, discord.ids
    body = {"name": "ping", "description": "Pong"}
    seen = [book.kept()]

    def changed() -> None:
        assert book.kept() != seen[-1]
        seen.append(book.kept())
        assert CommandBook.restored(seen[-1]).of(None) == book.of(None)

    command, _ = book.create(application.id, None, body, ids, NOW)
    changed()
    book.edit(None, command["id"], {"description": "Pang"}, ids, NOW)
    changed()
    book.delete(None, command["id"])
    changed()
    book.overwrite(application.id, guild_id, [body], ids, NOW)
    changed()
    book.drop_guild(guild_id)
    changed()


def test_of_a_long_channel_the_last_messages_and_the_pinned_ones_are_kept() -> None:
    before, after = a_discord(), a_discord()
    channel_id = before.world.register("demo-1").home_channel_id
    ids = [before.ids.next(NOW) for _ in range(limits.MESSAGES_SAVED * 2)]
    for message_id in ids:
        before.messages.keep({"id": message_id, "channel_id": channel_id, "content": "", "author": {"id": "1"}})
    before.messages.pins.add(channel_id, ids[3], NOW)
    restore(after, taken(before))
    kept = [row["id"] for row in reversed(after.messages.page(channel_id, 1_000))]
    assert kept == [ids[3], *ids[-limits.MESSAGES_SAVED :]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.state"


def no_complaint(sentence: str) -> None:
    pytest.fail(sentence)


def test_file_gives_back_what_was_written_and_is_its_owners_alone(path: Path) -> None:
    before, after = furnished(), a_discord()
    file = StateFile(path, "mark")
    keeper = Keeper(before, file, no_complaint)
    keeper.finish()
    assert not path.exists()  # nothing has changed since it began
    before.changes += 1
    keeper.finish()
    assert path.stat().st_mode & 0o077 == 0
    file.load(after, no_complaint)
    assert taken(after) == taken(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda whole: whole[: len(whole) // 2],
    "a byte of it changed": lambda whole: whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
    "empty": lambda _: b"",
    "another secret's": lambda whole: whole.replace(b"mark", b"kram", 1),
    "another release's": lambda whole: whole.replace(b" 1 ", b" 2 ", 1),
    "something else altogether": lambda _: b"\xff\x00" * 4_000,
    "text": lambda _: b"sandbox-state is a nice name\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_file_that_cannot_be_used_is_set_aside_with_one_sentence(path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = StateFile(path, "mark")
    file.write(taken(furnished()))
    path.write_bytes(damage(path.read_bytes()))
    damaged, discord, said = path.read_bytes(), a_discord(), list[str]()
    file.load(discord, said.append)
    assert taken(discord) == taken(a_discord())
    assert len(said) == 1
    assert "sandbox.state.set-aside" in said[0]
    assert path.with_name("sandbox.state.set-aside").read_bytes() == damaged
    assert not path.exists()


def test_folder_in_the_place_of_the_file_is_set_aside_too(path: Path) -> None:
    path.mkdir()
    said: list[str] = []
    file = StateFile(path, "mark")
    file.load(a_discord(), said.append)
    assert len(said) == 1
    file.write(b"")


def test_disk_that_refuses_is_told_once_and_tried_again(path: Path) -> None:
    discord, said = furnished(), list[str]()
    keeper = Keeper(discord, StateFile(path / "not" / "there", "mark"), said.append)
    for _ in range(3):
        discord.changes += 1
        keeper.finish()
    assert len(said) == 1
    assert "cannot be written" in said[0]
