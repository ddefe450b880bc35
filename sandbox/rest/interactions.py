"""Answers to interactions: the callback, the original response and follow-ups."""

from aiohttp import web

from sandbox.http import answer, read_object
from sandbox.interactions.interactions import callback_result
from sandbox.local_discord import LocalDiscord
from sandbox.messages.messages import EPHEMERAL
from sandbox.rest.shell import token_route
from sandbox.world.objects import Json

_WEBHOOK = "/webhooks/{application_id}/{token}"
_MESSAGE = _WEBHOOK + "/messages/{message_id}"


def _announce(discord: LocalDiscord, application_id: str, name: str, message: Json) -> None:
    """Send the message's event, unless it is ephemeral: Discord shows those to the user alone."""
    application = discord.world.find(application_id)
    if application is not None and not message["flags"] & EPHEMERAL:
        discord.message_changed(application, name, message)


async def callback(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Take the initial response; exempt from rate limits, open to whoever has the token."""
    path, now = request.match_info, discord.clock()
    interaction = discord.interactions.respond(path["interaction_id"], path["token"], await read_object(request), now)
    if interaction.original is not None:
        _announce(discord, interaction.application_id, "MESSAGE_CREATE", interaction.original)
    if request.query.get("with_response", "").lower() in {"true", "1"}:
        return answer(callback_result(interaction))
    return web.Response(status=204)


async def follow_up(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Make a follow-up message; an interaction's webhook always answers with it."""
    path, body = request.match_info, await read_object(request)
    message = discord.interactions.follow_up(path["application_id"], path["token"], body, discord.clock())
    _announce(discord, path["application_id"], "MESSAGE_CREATE", message)
    return answer(message)


async def get_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Answer the original response or a follow-up."""
    path = request.match_info
    now = discord.clock()
    return answer(discord.interactions.get(path["application_id"], path["token"], path["message_id"], now))


async def edit_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Change the original response or a follow-up."""
    path, body = request.match_info, await read_object(request)
    now = discord.clock()
    message = discord.interactions.edit(path["application_id"], path["token"], path["message_id"], body, now)
    _announce(discord, path["application_id"], "MESSAGE_UPDATE", message)
    return answer(message)


async def delete_message(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Delete the original response or a follow-up."""
    path = request.match_info
    discord.interactions.delete(path["application_id"], path["token"], path["message_id"], discord.clock())
    return web.Response(status=204)


ROUTES = [
    token_route("POST", "/interactions/{interaction_id}/{token}/callback", callback, limited=False),
    token_route("POST", _WEBHOOK, follow_up, limited=True),
    token_route("GET", _MESSAGE, get_message, limited=True),
    token_route("PATCH", _MESSAGE, edit_message, limited=True),
    token_route("DELETE", _MESSAGE, delete_message, limited=True),
]
