"""Messages over REST, and the files that hang on them."""

import mimetypes

from aiohttp import web

from sandbox import errors, limits, posting
from sandbox.errors import DiscordError
from sandbox.http import DISCORD, answer, page_query, read_message, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Upload
from sandbox.messages.messages import PINNED
from sandbox.rest.ratelimit import CHANNEL_WRITE, OLD_MESSAGE_EDIT
from sandbox.rest.shell import bot_route
from sandbox.shapes import check, items, record, snowflake
from sandbox.snowflakes import unix_s
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_IDS = record({"messages": items(snowflake, limits.BULK_DELETE_MAX, unique=True)}, required=("messages",))
_PAGE_DEFAULT = 50  # documented: Get Channel Messages
_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = _MESSAGES + "/{message_id}"


def channel_of(request: web.Request, discord: LocalDiscord, application: Application, *needed: Permission) -> Channel:
    """Return the channel in the request's path; raise DiscordError if the bot may not view it or lacks a permission."""
    channel = discord.world.channel_for(application, request.match_info["channel_id"])
    discord.world.require(application, channel, *needed)
    return channel


def may_read_history(discord: LocalDiscord, application: Application, channel: Channel) -> bool:
    """Return whether the bot sees messages that were written before."""
    return bool(discord.world.permissions_in(channel, application.id) & Permission.READ_MESSAGE_HISTORY)


async def list_messages(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of messages, newest first; none without READ_MESSAGE_HISTORY, as documented."""
    channel = channel_of(request, discord, application)
    limit, at = page_query(request, _PAGE_DEFAULT, limits.MESSAGES_PAGE_MAX, ("before", "after", "around"))
    if not may_read_history(discord, application, channel):
        return answer([])
    page = discord.messages.page(channel.id, limit, **at)
    return answer([discord.messages.seen_by(message, application.id) for message in page])


async def get_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one message."""
    channel = channel_of(request, discord, application, Permission.READ_MESSAGE_HISTORY)
    message = discord.messages.get(channel.id, request.match_info["message_id"])
    return answer(discord.messages.seen_by(message, application.id))


def _needs(body: Json, uploads: list[Upload]) -> list[Permission]:
    needed = [Permission.SEND_MESSAGES]
    if body.get("embeds"):
        needed.append(Permission.EMBED_LINKS)
    if uploads:
        needed.append(Permission.ATTACH_FILES)
    if body.get("message_reference"):
        needed.append(Permission.READ_MESSAGE_HISTORY)
    return needed


async def create_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Post a message."""
    channel = channel_of(request, discord, application)
    body, uploads = await read_message(request)
    discord.world.require(application, channel, *_needs(body, uploads))
    discord.rate_limiter.spend_hidden(CHANNEL_WRITE, channel.id, discord.clock())
    return answer(posting.post(discord, channel, application.bot.as_json(), body, uploads))


async def edit_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change an own message."""
    channel = channel_of(request, discord, application)
    body, uploads = await read_message(request)
    message = discord.messages.get(channel.id, request.match_info["message_id"])
    if message["author"]["id"] != application.id:
        raise DiscordError(errors.CANNOT_EDIT_OTHERS)
    if message["type"] == PINNED:
        raise DiscordError(errors.SYSTEM_MESSAGE)
    if discord.clock() - unix_s(message["id"]) > limits.OLD_MESSAGE_AGE_S:
        discord.rate_limiter.spend_hidden(OLD_MESSAGE_EDIT, channel.id, discord.clock())
    changed = posting.edit(discord, channel, message, body, uploads)
    return answer(discord.messages.seen_by(changed, application.id))


async def delete_message(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a message; another's needs MANAGE_MESSAGES."""
    channel = channel_of(request, discord, application)
    message = discord.messages.get(channel.id, request.match_info["message_id"])
    if message["author"]["id"] != application.id:
        discord.world.require(application, channel, Permission.MANAGE_MESSAGES)
    posting.delete(discord, channel, message["id"])
    return web.Response(status=204)


async def bulk_delete(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete 2 to 100 messages that are less than two weeks old."""
    channel = channel_of(request, discord, application, Permission.MANAGE_MESSAGES)
    if channel.guild_id is None:
        raise DiscordError(errors.NOT_IN_DM)
    wanted = await read_object(request)
    check(_IDS, wanted)
    ids = [str(each) for each in wanted["messages"]]
    if len(ids) < 2:  # noqa: PLR2004 - documented: at least two
        raise DiscordError(errors.TOO_FEW_TO_DELETE)
    oldest = min(unix_s(each) for each in ids)
    if discord.clock() - oldest > limits.BULK_DELETE_AGE_S:
        raise DiscordError(errors.TOO_OLD_TO_DELETE)
    posting.delete_many(discord, channel, ids)
    return web.Response(status=204)


async def typing(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Show that the bot is typing."""
    channel = channel_of(request, discord, application, Permission.SEND_MESSAGES)
    event = {"channel_id": channel.id, "user_id": application.id, "timestamp": int(discord.clock())}
    discord.router.of_channel(channel, "TYPING_START", event)
    return web.Response(status=204)


async def download(request: web.Request) -> web.Response:
    """Answer a file of a message; open to everyone who has the link."""
    content = request.app[DISCORD].files.get(request.match_info["attachment_id"])
    if content is None:
        return web.Response(status=404, text="This content is no longer available.")
    kind, _ = mimetypes.guess_type(request.match_info["filename"])
    return web.Response(body=content, content_type=kind or "application/octet-stream")


ROUTES = [
    bot_route("GET", _MESSAGES, list_messages),
    bot_route("POST", _MESSAGES, create_message),
    bot_route("POST", _MESSAGES + "/bulk-delete", bulk_delete),
    bot_route("GET", _MESSAGE, get_message),
    bot_route("PATCH", _MESSAGE, edit_message),
    bot_route("DELETE", _MESSAGE, delete_message),
    bot_route("POST", "/channels/{channel_id}/typing", typing),
]
DOWNLOADS = [web.get("/attachments/{channel_id}/{attachment_id}/{filename}", download)]
