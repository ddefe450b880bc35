"""Answers to interactions: the callback, the original response and follow-ups."""

from aiohttp import web

from sandbox import errors, posting
from sandbox.errors import DiscordError
from sandbox.http import answer, boolean_query, read_message
from sandbox.interactions.callbacks import Callback
from sandbox.interactions.interactions import Interaction
from sandbox.local_discord import LocalDiscord
from sandbox.messages import rules
from sandbox.rest.shell import token_route
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json

_TOLD = {
    Callback.MESSAGE: "MESSAGE_CREATE",
    Callback.DEFERRED_MESSAGE: "MESSAGE_CREATE",
    Callback.UPDATE: "MESSAGE_UPDATE",
}


async def callback(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Take the initial response; exempt from rate limits, open to whoever has the token."""
    path, with_response = request.match_info, boolean_query(request, "with_response")
    body, uploads = await read_message(request)
    now = discord.clock()
    try:
        interaction = discord.interactions.respond(path["interaction_id"], path["token"], body, uploads, now)
    except DiscordError as error:
        _note_repetition(discord, path["interaction_id"], error)
        raise
    original = discord.interactions.original(interaction)
    kind = Callback((interaction.response or {})["type"])
    if original is not None and kind in _TOLD:
        posting.announce(discord, interaction.channel, _TOLD[kind], original)
    if with_response:
        return answer(callback_result(interaction, original))
    return web.Response(status=204)


def _note_repetition(discord: LocalDiscord, interaction_id: str, error: DiscordError) -> None:
    """Count a second answer: the sign of an interaction that was handled twice."""
    interaction = discord.interactions.find(interaction_id)
    application = None if interaction is None else discord.world.find(interaction.application_id)
    if application is not None and error.fault is errors.ALREADY_ACKNOWLEDGED:
        application.answered_twice += 1


def callback_result(interaction: Interaction, original: Json | None) -> Json:
    """Return the body of a callback with `with_response=true`."""
    shown: Json = {
        "id": interaction.id,
        "type": int(interaction.act.kind),
        "channel_id": interaction.channel.id,
    }
    if interaction.channel.guild_id is not None:
        shown["guild_id"] = interaction.channel.guild_id
    if original is None:
        return {"interaction": shown}
    shown |= {
        "response_message_id": original["id"],
        "response_message_loading": bool(original["flags"] & rules.LOADING),
        "response_message_ephemeral": bool(original["flags"] & rules.EPHEMERAL),
    }
    kind = (interaction.response or {})["type"]
    if kind in {Callback.MESSAGE, Callback.UPDATE}:
        return {"interaction": shown, "resource": {"type": kind, "message": original}}
    return {"interaction": shown}


def channel_of(discord: LocalDiscord, message: Json) -> Channel | None:
    """Return the channel of an interaction's message, if it is still there."""
    return discord.world.channels.get(message["channel_id"])


async def follow_up(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Make a follow-up message; an interaction's webhook always answers with it."""
    path = request.match_info
    body, uploads = await read_message(request)
    message, is_new = discord.interactions.follow_up(path["webhook_id"], path["token"], body, uploads, discord.clock())
    _announce(discord, "MESSAGE_CREATE" if is_new else "MESSAGE_UPDATE", message)
    return answer(message)


def _announce(discord: LocalDiscord, name: str, message: Json) -> None:
    channel = channel_of(discord, message)
    if channel is not None:
        posting.announce(discord, channel, name, message)


async def get_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Answer the original response or a follow-up."""
    path, now = request.match_info, discord.clock()
    message = discord.interactions.get(path["webhook_id"], path["token"], path["message_id"], now)
    return answer(discord.messages.seen_by(message, path["webhook_id"]))


async def edit_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Change the original response or a follow-up."""
    path = request.match_info
    body, uploads = await read_message(request)
    now = discord.clock()
    message = discord.interactions.edit(path["webhook_id"], path["token"], path["message_id"], body, uploads, now)
    _announce(discord, "MESSAGE_UPDATE", message)
    return answer(discord.messages.seen_by(message, path["webhook_id"]))


async def delete_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Delete the original response or a follow-up."""
    path, now = request.match_info, discord.clock()
    message = discord.interactions.delete(path["webhook_id"], path["token"], path["message_id"], now)
    channel = channel_of(discord, message)
    if channel is not None:
        posting.gone(discord, channel, message)
    return web.Response(status=204)


ROUTES = [
    token_route("POST", "/interactions/{interaction_id}/{token}/callback", callback, limited=False),
]
