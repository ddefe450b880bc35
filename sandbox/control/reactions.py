"""Control calls: users react to messages, and take their reactions back."""

import msgspec
from aiohttp import web

from sandbox import reacting
from sandbox.control.acts import someone_in
from sandbox.control.shell import PREFIX, Person, find_channel, read_body
from sandbox.http import DISCORD, answer
from sandbox.interactions.options import ActError
from sandbox.messages.reactions import emoji_of
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.users import User


class Reaction(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST and DELETE …/reactions; the guild's owner reacts if no user is given."""

    emoji: str
    user: Person | None = None


async def _read(request: web.Request) -> tuple[Channel, Json, Json, User]:
    discord, body = request.app[DISCORD], await read_body(request, Reaction)
    channel = find_channel(discord, request.match_info["channel_id"])
    message = discord.messages.get(channel.id, request.match_info["message_id"])
    return channel, message, emoji_of(body.emoji), someone_in(discord, channel, body.user)


async def react(request: web.Request) -> web.Response:
    """Let a user react; answer the message as he sees it."""
    discord = request.app[DISCORD]
    channel, message, emoji, user = await _read(request)
    if not reacting.may_react(discord.world.permissions_in(channel, user.id), discord, message, emoji):
        raise ActError(f"{user.username} may not react in channel {channel.id}")
    reacting.react(discord, channel, message, emoji, user)
    return answer(discord.messages.seen_by(message, user.id))


async def unreact(request: web.Request) -> web.Response:
    """Let a user take his reaction back; answer the message as he sees it."""
    discord = request.app[DISCORD]
    channel, message, emoji, user = await _read(request)
    reacting.unreact(discord, channel, message, emoji, user.id)
    return answer(discord.messages.seen_by(message, user.id))


_PATH = f"{PREFIX}/channels/{{channel_id}}/messages/{{message_id}}/reactions"
ROUTES = [web.post(_PATH, react), web.delete(_PATH, unreact)]
