"""Reactions and pins that come and go, each with the event that tells of it."""

from sandbox import errors
from sandbox.errors import DiscordError
from sandbox.local_discord import LocalDiscord
from sandbox.messages import messages
from sandbox.messages.reactions import NORMAL
from sandbox.world import objects
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission
from sandbox.world.users import User


def may_react(granted: int, discord: LocalDiscord, message: Json, emoji: Json) -> bool:
    """Return whether permissions suffice (documented: Create Reaction): ADD_REACTIONS only for an emoji that is new."""
    needed = Permission.READ_MESSAGE_HISTORY
    if not discord.messages.reactions.holds(message["id"], emoji):
        needed |= Permission.ADD_REACTIONS
    return granted & needed == needed


def react(discord: LocalDiscord, channel: Channel, message: Json, emoji: Json, user: User) -> None:
    """Add a user's reaction; nothing happens if it is there already."""
    if not discord.messages.reactions.add(message["id"], emoji, user):
        return
    event = _about(channel, message, emoji, user.id) | {"message_author_id": message["author"]["id"]}
    guild = None if channel.guild_id is None else discord.world.guilds[channel.guild_id]
    if guild is not None and user.id in guild.members:
        event["member"] = objects.member(guild.members[user.id])
    discord.router.of_channel(channel, "MESSAGE_REACTION_ADD", event)


def unreact(discord: LocalDiscord, channel: Channel, message: Json, emoji: Json, user_id: str) -> None:
    """Take a user's reaction away, if there is one. Raises DiscordError 10014 if nobody reacted so."""
    if discord.messages.reactions.remove(message["id"], emoji, user_id):
        discord.router.of_channel(channel, "MESSAGE_REACTION_REMOVE", _about(channel, message, emoji, user_id))


def _about(channel: Channel, message: Json, emoji: Json, user_id: str) -> Json:
    place = {"channel_id": channel.id, "message_id": message["id"]}
    return place | {"user_id": user_id, "emoji": emoji, "burst": False, "type": NORMAL}


def clear(discord: LocalDiscord, channel: Channel, message: Json) -> None:
    """Take all reactions away."""
    if discord.messages.reactions.clear(message["id"]):
        event = {"channel_id": channel.id, "message_id": message["id"]}
        discord.router.of_channel(channel, "MESSAGE_REACTION_REMOVE_ALL", event)


def clear_emoji(discord: LocalDiscord, channel: Channel, message: Json, emoji: Json) -> None:
    """Take all reactions with one emoji away. Raises DiscordError 10014 if nobody reacted so."""
    discord.messages.reactions.remove_emoji(message["id"], emoji)
    event = {"channel_id": channel.id, "message_id": message["id"], "emoji": emoji}
    discord.router.of_channel(channel, "MESSAGE_REACTION_REMOVE_EMOJI", event)


def pin(discord: LocalDiscord, channel: Channel, message: Json, user: User) -> None:
    """Pin a message; a message of its own kind tells the channel who did it."""
    if message["type"] == messages.PINNED:
        raise DiscordError(errors.SYSTEM_MESSAGE)
    now = discord.clock()
    at = round(now, 3)  # as precise as it is shown, so that a page may begin where another ended
    if not discord.messages.pins.add(channel.id, message["id"], at):
        return
    _set_pinned(discord, channel, message, pinned=True)
    told = messages.create({}, discord.ids.next(now), channel.id, user.as_json(), now)
    told = messages.reply_to(told, message, channel.guild_id) | {"type": messages.PINNED}
    del told["referenced_message"]
    channel.last_message_id = told["id"]
    discord.router.message("MESSAGE_CREATE", channel, discord.messages.keep(told))


def unpin(discord: LocalDiscord, channel: Channel, message: Json) -> None:
    """Unpin a message; nothing happens if it is not pinned."""
    if discord.messages.pins.remove(channel.id, message["id"]):
        _set_pinned(discord, channel, message, pinned=False)


def _set_pinned(discord: LocalDiscord, channel: Channel, message: Json, *, pinned: bool) -> None:
    changed = discord.messages.keep(message | {"pinned": pinned})
    last_at = discord.messages.pins.last_at(channel.id)
    channel.last_pin_at = last_at
    discord.router.message("MESSAGE_UPDATE", channel, changed)
    shown = None if last_at is None else objects.timestamp(last_at)
    event = {"channel_id": channel.id, "last_pin_timestamp": shown}
    discord.router.of_channel(channel, "CHANNEL_PINS_UPDATE", event)
