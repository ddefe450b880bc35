"""Webhooks over REST: made and read by a bot, executed by whoever has the token.

An interaction's webhook has the id of its application; those requests go on to `interactions`.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import errors, limits, posting
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, boolean_query, read_message, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.messages.webhooks import Webhook
from sandbox.rest import interactions
from sandbox.rest.guilds import guild_of
from sandbox.rest.shell import TokenHandler, bot_route, token_route
from sandbox.shapes import LINKS, Shape, check, items, record, snowflake, text, url
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

Executor = Callable[[web.Request, LocalDiscord, Webhook], Awaitable[web.Response]]


def _channel(request: web.Request, discord: LocalDiscord, application: Application) -> Channel:
    channel = discord.world.channel_for(application, request.match_info["channel_id"])
    if channel.guild_id is None:
        raise DiscordError(errors.NOT_IN_DM)
    discord.world.require(application, channel, Permission.MANAGE_WEBHOOKS)
    return channel


_DATA = text(limits.REQUEST_MAX_BYTES)
_FIELDS: dict[str, Shape] = {"name": text(limits.WEBHOOK_NAME_MAX, 1), "avatar": _DATA, "channel_id": snowflake}
_NEW, _CHANGE = record(_FIELDS, required=("name",)), record(_FIELDS, filled=("name",))
_EXECUTION = record({
    "username": text(limits.WEBHOOK_NAME_MAX, 1),
    "avatar_url": url(limits.URL_MAX, *LINKS),
    "thread_name": text(limits.CHANNEL_NAME_MAX),
    "applied_tags": items(snowflake, limits.APPLIED_TAGS_MAX),
})  # fmt: skip
_QUERY = record({"thread_id": snowflake})
_FORBIDDEN = ("clyde", "discord")  # documented: Create Webhook


def _check_name(name: str | None, field: str) -> None:
    """Raise DiscordError 50035 for a name that no webhook may show (documented)."""
    faults = FieldFaults()
    for word in _FORBIDDEN:
        if name is not None and word in name.lower():
            faults.add((field,), "USERNAME_INVALID_CONTAINS", f'Username cannot contain "{word}"')
    faults.raise_if_any()


async def _changes(request: web.Request) -> Json:
    body = await read_object(request)
    check(_CHANGE, body)
    _check_name(body.get("name"), "name")
    return body


async def create_webhook(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Make a webhook of a channel."""
    channel, body = _channel(request, discord, application), await read_object(request)
    check(_NEW, body)
    name = body["name"]
    _check_name(name, "name")
    webhook_id = discord.ids.next(discord.clock())
    webhook = Webhook(
        webhook_id, discord.mint_token(), channel.id, channel.guild_id, name, application.bot, application.id
    )
    discord.webhooks.add(webhook)
    _updated(discord, channel)
    return answer(webhook.as_json(discord.url))


def _updated(discord: LocalDiscord, channel: Channel) -> None:
    discord.router.of_channel(channel, "WEBHOOKS_UPDATE", {"channel_id": channel.id})


async def of_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the webhooks of a channel."""
    channel = _channel(request, discord, application)
    return answer([webhook.as_json(discord.url) for webhook in discord.webhooks.of_channel(channel.id)])


async def of_guild(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the webhooks of a guild."""
    guild = guild_of(request, discord, application, Permission.MANAGE_WEBHOOKS)
    return answer([webhook.as_json(discord.url) for webhook in discord.webhooks.of_guild(guild.id)])


def _managed(request: web.Request, discord: LocalDiscord, application: Application) -> tuple[Webhook, Channel]:
    webhook = discord.webhooks.get(request.match_info["webhook_id"])
    channel = discord.world.channel_for(application, webhook.channel_id)
    discord.world.require(application, channel, Permission.MANAGE_WEBHOOKS)
    return webhook, channel


async def get_webhook(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a webhook of a channel the bot manages."""
    return answer(_managed(request, discord, application)[0].as_json(discord.url))


async def edit_webhook(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Rename a webhook, or move it to another channel of its guild."""
    webhook, channel = _managed(request, discord, application)
    body = await _changes(request)
    if body.get("channel_id") is not None:
        goal = discord.world.channel_for(application, str(body["channel_id"]))
        discord.world.require(application, goal, Permission.MANAGE_WEBHOOKS)
        if goal.guild_id != webhook.guild_id:
            raise DiscordError(errors.UNKNOWN_CHANNEL)
        webhook.channel_id = goal.id
        _updated(discord, goal)
    webhook.name = body.get("name") or webhook.name
    _updated(discord, channel)
    return answer(webhook.as_json(discord.url))


async def delete_webhook(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a webhook."""
    webhook, channel = _managed(request, discord, application)
    discord.webhooks.delete(webhook)
    _updated(discord, channel)
    return web.Response(status=204)


async def get_by_token(_: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Answer a webhook to whoever has its token."""
    return answer(webhook.as_json(discord.url, with_user=False))


async def edit_by_token(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Rename a webhook by its token."""
    webhook.name = (await _changes(request)).get("name") or webhook.name
    return answer(webhook.as_json(discord.url, with_user=False))


async def delete_by_token(_: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Delete a webhook by its token."""
    discord.webhooks.delete(webhook)
    return web.Response(status=204)


async def execute(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Post through a webhook; answer the message only if asked to wait for it, as documented."""
    body, uploads = await read_message(request)
    check(_EXECUTION, body)
    _check_name(body.get("username"), "username")
    wait = boolean_query(request, "wait")
    if body.get("thread_name"):
        raise DiscordError(errors.THREADS_NEED_A_FORUM)
    channel = discord.world.channels[webhook.channel_id]
    extra = {"webhook_id": webhook.id}
    if webhook.application_id is not None:
        extra["application_id"] = webhook.application_id
    message = posting.post(discord, channel, webhook.author(body), body, uploads, extra)
    return answer(message) if wait else web.Response(status=204)


def _check_query(request: web.Request) -> None:
    """Raise DiscordError for a query that no webhook takes, and 10003 for any thread: there are none."""
    boolean_query(request, "with_components")
    boolean_query(request, "wait")
    if "thread_id" in request.query:
        check(_QUERY, dict(request.query))
        raise DiscordError(errors.UNKNOWN_CHANNEL)


def _own(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> tuple[Channel, Json]:
    message = discord.messages.get(webhook.channel_id, request.match_info["message_id"])
    if message.get("webhook_id") != webhook.id:
        raise DiscordError(errors.UNKNOWN_MESSAGE)
    return discord.world.channels[webhook.channel_id], message


async def get_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Answer a message of the webhook."""
    return answer(discord.messages.seen_by(_own(request, discord, webhook)[1], webhook.id))


async def edit_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Change a message of the webhook."""
    channel, message = _own(request, discord, webhook)
    body, uploads = await read_message(request)
    changed = posting.edit(discord, channel, message, body, uploads)
    return answer(discord.messages.seen_by(changed, webhook.id))


async def delete_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Delete a message of the webhook."""
    channel, message = _own(request, discord, webhook)
    posting.delete(discord, channel, message["id"])
    return web.Response(status=204)


def _either(of_webhook: Executor, of_interaction: TokenHandler | None) -> TokenHandler:
    """Return a handler that goes by what the id in the path is: an application's, or a webhook's."""

    async def handle(request: web.Request, discord: LocalDiscord) -> web.Response:
        if request.query:
            _check_query(request)
        webhook_id, token = request.match_info["webhook_id"], request.match_info["token"]
        if of_interaction is not None and discord.world.find(webhook_id) is not None:
            return await of_interaction(request, discord)
        return await of_webhook(request, discord, discord.webhooks.get(webhook_id, token))

    return handle


_OF_CHANNEL = "/channels/{channel_id}/webhooks"
_BY_ID = "/webhooks/{webhook_id}"
_BY_TOKEN = _BY_ID + "/{token}"
_MESSAGE = _BY_TOKEN + "/messages/{message_id}"
_TOKEN_ROUTES: list[tuple[str, str, Executor, TokenHandler | None]] = [
    ("GET", _BY_TOKEN, get_by_token, None),
    ("PATCH", _BY_TOKEN, edit_by_token, None),
    ("DELETE", _BY_TOKEN, delete_by_token, None),
    ("POST", _BY_TOKEN, execute, interactions.follow_up),
    ("GET", _MESSAGE, get_message, interactions.get_message),
    ("PATCH", _MESSAGE, edit_message, interactions.edit_message),
    ("DELETE", _MESSAGE, delete_message, interactions.delete_message),
]
ROUTES = [
    bot_route("POST", _OF_CHANNEL, create_webhook),
    bot_route("GET", _OF_CHANNEL, of_channel),
    bot_route("GET", "/guilds/{guild_id}/webhooks", of_guild),
    bot_route("GET", _BY_ID, get_webhook),
    bot_route("PATCH", _BY_ID, edit_webhook),
    bot_route("DELETE", _BY_ID, delete_webhook),
    *(token_route(m, path, _either(hook, other), limited=True) for m, path, hook, other in _TOKEN_ROUTES),
]
