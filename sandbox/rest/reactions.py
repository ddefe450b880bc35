"""Reactions over REST."""

from aiohttp import web

from sandbox import errors, limits, reacting
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, page_query
from sandbox.local_discord import LocalDiscord
from sandbox.messages.reactions import NORMAL, emoji_of
from sandbox.rest.messages import channel_of
from sandbox.rest.shell import bot_route
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_PAGE_DEFAULT = 25  # documented: Get Reactions


def _message(request: web.Request, discord: LocalDiscord, channel: Channel) -> Json:
    return discord.messages.get(channel.id, request.match_info["message_id"])


def _managed(request: web.Request, discord: LocalDiscord, application: Application) -> tuple[Channel, Json]:
    """Return a guild's channel and its message for a bot that may take others' reactions away."""
    channel = channel_of(request, discord, application)
    if channel.guild_id is None:
        raise DiscordError(errors.NOT_IN_DM)
    discord.world.require(application, channel, Permission.MANAGE_MESSAGES)
    return channel, _message(request, discord, channel)


async def react(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Add the bot's reaction."""
    channel = channel_of(request, discord, application)
    message, emoji = _message(request, discord, channel), emoji_of(request.match_info["emoji_name"])
    granted = discord.world.permissions_in(channel, application.id)
    if not reacting.may_react(granted, discord, message, emoji):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    reacting.react(discord, channel, message, emoji, application.bot)
    return web.Response(status=204)


async def take_back(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take the bot's own reaction away."""
    channel = channel_of(request, discord, application)
    message, emoji = _message(request, discord, channel), emoji_of(request.match_info["emoji_name"])
    reacting.unreact(discord, channel, message, emoji, application.id)
    return web.Response(status=204)


async def remove(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take another user's reaction away."""
    channel, message = _managed(request, discord, application)
    emoji = emoji_of(request.match_info["emoji_name"])
    reacting.unreact(discord, channel, message, emoji, request.match_info["user_id"])
    return web.Response(status=204)


async def remove_emoji(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take all reactions with an emoji away."""
    channel, message = _managed(request, discord, application)
    reacting.clear_emoji(discord, channel, message, emoji_of(request.match_info["emoji_name"]))
    return web.Response(status=204)


async def clear(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take all reactions away."""
    reacting.clear(discord, *_managed(request, discord, application))
    return web.Response(status=204)


async def list_users(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of the users that reacted with an emoji, by id; nobody here reacts with a burst (`type` 1)."""
    channel = channel_of(request, discord, application, Permission.READ_MESSAGE_HISTORY)
    message, emoji = _message(request, discord, channel), emoji_of(request.match_info["emoji_name"])
    limit, at = page_query(request, _PAGE_DEFAULT, limits.REACTIONS_PAGE_MAX, ("after",))
    kind = request.query.get("type", str(NORMAL))
    if kind not in {"0", "1"}:
        faults = FieldFaults()
        faults.choice(("type",), kind, (0, 1))
        faults.raise_if_any()
    users = discord.messages.reactions.users(message["id"], emoji, limit, at.get("after", -1))
    return answer([user.as_json() for user in users] if kind == str(NORMAL) else [])


_REACTIONS = "/channels/{channel_id}/messages/{message_id}/reactions"
_EMOJI = _REACTIONS + "/{emoji_name}"
ROUTES = [
    bot_route("PUT", _EMOJI + "/@me", react),
    bot_route("DELETE", _EMOJI + "/@me", take_back),
    bot_route("DELETE", _EMOJI + "/{user_id}", remove),
    bot_route("GET", _EMOJI, list_users),
    bot_route("DELETE", _EMOJI, remove_emoji),
    bot_route("DELETE", _REACTIONS, clear),
]
