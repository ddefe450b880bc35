"""The home guild, its channel, and the channel's messages."""

from aiohttp import web

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.http import answer, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import bot_route
from sandbox.world import objects
from sandbox.world.world import Application, home_of_channel, home_of_guild

_PAGE_DEFAULT = 50  # documented: Get Channel Messages
_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = _MESSAGES + "/{message_id}"


def _channel_id(request: web.Request, application: Application) -> str:
    return home_of_channel(application, request.match_info["channel_id"]).channel_id


async def get_guild(request: web.Request, _: LocalDiscord, application: Application) -> web.Response:
    """Answer the guild; with its counts if asked."""
    guild = objects.guild(home_of_guild(application, request.match_info["guild_id"]))
    if request.query.get("with_counts") == "true":
        guild |= {"approximate_member_count": 2, "approximate_presence_count": 1}
    return answer(guild)


async def get_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the channel."""
    home = home_of_channel(application, request.match_info["channel_id"])
    newest = discord.channels.page(home.channel_id, 1)
    return answer(objects.channel(home, newest[0]["id"] if newest else None))


async def list_messages(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of messages, newest first."""
    channel_id, faults = _channel_id(request, application), FieldFaults()
    numbers: dict[str, int] = {}
    for key in ("limit", "before", "after"):
        value = request.query.get(key)
        if value is not None and not value.isdecimal():
            faults.add((key,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
        elif value is not None:
            numbers[key] = int(value)
    limit = numbers.get("limit", _PAGE_DEFAULT)
    if not 1 <= limit <= limits.MESSAGES_PAGE_MAX:
        message = f"int value should be between 1 and {limits.MESSAGES_PAGE_MAX}."
        faults.add(("limit",), "NUMBER_TYPE_RANGE", message)
    faults.raise_if_any()
    return answer(discord.channels.page(channel_id, limit, numbers.get("before"), numbers.get("after")))


async def get_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one message."""
    return answer(discord.channels.get(_channel_id(request, application), request.match_info["message_id"]))


async def create_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Post a message."""
    channel_id, body = _channel_id(request, application), await read_object(request)
    message, is_new = discord.channels.post(channel_id, application.bot, body, discord.clock())
    if is_new:
        discord.message_changed(application, "MESSAGE_CREATE", message)
    return answer(message)


async def edit_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change an own message."""
    channel_id, body = _channel_id(request, application), await read_object(request)
    message_id = request.match_info["message_id"]
    message = discord.channels.edit(channel_id, message_id, application.bot, body, discord.clock())
    discord.message_changed(application, "MESSAGE_UPDATE", message)
    return answer(message)


async def delete_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a message."""
    discord.channels.delete(_channel_id(request, application), request.match_info["message_id"])
    return web.Response(status=204)


ROUTES = [
    bot_route("GET", "/guilds/{guild_id}", get_guild),
    bot_route("GET", "/channels/{channel_id}", get_channel),
    bot_route("GET", _MESSAGES, list_messages),
    bot_route("POST", _MESSAGES, create_message),
    bot_route("GET", _MESSAGE, get_message),
    bot_route("PATCH", _MESSAGE, edit_message),
    bot_route("DELETE", _MESSAGE, delete_message),
]
