"""Webhooks over REST: made and read by a bot, executed by whoever has the token.

An interaction's webhook has the id of its application; those requests go on to `interactions`.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import errors, limits, posting
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, flag, read_message, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.messages.webhooks import Webhook
from sandbox.rest import interactions
from sandbox.rest.guilds import guild_of
from sandbox.rest.shell import TokenHandler, bot_route, token_route
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


def _name(body: Json, *, required: bool) -> str | None:
    faults = FieldFaults()
    if body.get("name") is not None:
        faults.text(("name",), body["name"], limits.WEBHOOK_NAME_MAX, 1)
    elif required:
        faults.required(("name",))
    faults.raise_if_any()
    name: str | None = body.get("name")
    return name


async def create_webhook(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Make a webhook of a channel."""
    channel, body = _channel(request, discord, application), await read_object(request)
    name = _name(body, required=True) or ""
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
    """Rename a webhook."""
    webhook, channel = _managed(request, discord, application)
    webhook.name = _name(await read_object(request), required=False) or webhook.name
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
    webhook.name = _name(await read_object(request), required=False) or webhook.name
    return answer(webhook.as_json(discord.url, with_user=False))


async def delete_by_token(_: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Delete a webhook by its token."""
    discord.webhooks.delete(webhook)
    return web.Response(status=204)


async def execute(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Post through a webhook; answer the message only if asked to wait for it, as documented."""
    body, uploads = await read_message(request)
    if body.get("username") is not None:
        _name({"name": body["username"]}, required=True)
    channel = discord.world.channels[webhook.channel_id]
    extra = {"webhook_id": webhook.id}
    if webhook.application_id is not None:
        extra["application_id"] = webhook.application_id
    message = posting.post(discord, channel, webhook.author(body), body, uploads, extra)
    return answer(message) if flag(request, "wait") else web.Response(status=204)


def _own(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> tuple[Channel, Json]:
    message = discord.messages.get(webhook.channel_id, request.match_info["message_id"])
    if message.get("webhook_id") != webhook.id:
        raise DiscordError(errors.UNKNOWN_MESSAGE)
    return discord.world.channels[webhook.channel_id], message


async def get_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Answer a message of the webhook."""
    return answer(_own(request, discord, webhook)[1])


async def edit_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Change a message of the webhook."""
    channel, message = _own(request, discord, webhook)
    body, uploads = await read_message(request)
    return answer(posting.edit(discord, channel, message, body, uploads))


async def delete_message(request: web.Request, discord: LocalDiscord, webhook: Webhook) -> web.Response:
    """Delete a message of the webhook."""
    channel, message = _own(request, discord, webhook)
    posting.delete(discord, channel, message["id"])
    return web.Response(status=204)


def _either(of_webhook: Executor, of_interaction: TokenHandler | None) -> TokenHandler:
    """Return a handler that goes by what the id in the path is: an application's, or a webhook's."""

    async def handle(request: web.Request, discord: LocalDiscord) -> web.Response:
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
