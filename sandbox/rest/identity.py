"""The bot's application, and where its gateway lies."""

from aiohttp import web

from sandbox import errors
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import bot_route, open_route
from sandbox.world import objects
from sandbox.world.applications import Application
from sandbox.world.objects import Json

_DESCRIPTION_MAX = 400  # description


def application_json(discord: LocalDiscord, application: Application) -> Json:
    """Return the application as its own bot sees it."""
    count = len(discord.world.guilds_of(application.id))
    shown = objects.application(application.bot, application.owner, application.verify_key, count)
    redirect_uris = list(discord.oauth2.clients.redirect_uris(application.id))
    return shown | {"description": application.description, "redirect_uris": redirect_uris}


async def my_application(_: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the bot's own application."""
    return answer(application_json(discord, application))


async def edit_application(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change the application's description; of the rest nothing can be set here."""
    body, faults = await read_object(request), FieldFaults()
    if body.get("description") is not None:
        faults.text(("description",), body["description"], _DESCRIPTION_MAX)
    faults.raise_if_any()
    application.description = body.get("description") or application.description
    return answer(application_json(discord, application))


async def get_application(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the bot's own application by its id."""
    if request.match_info["application_id"] != application.id:
        raise DiscordError(errors.NOT_YOUR_APPLICATION)
    return answer(application_json(discord, application))


async def gateway(request: web.Request, _: LocalDiscord) -> web.Response:
    """Answer the gateway's address; open to everyone."""
    return answer({"url": _gateway_url(request)})


async def gateway_bot(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the gateway's address and the bot's session starts."""
    starts = application.starts.as_json(discord.clock())
    return answer({"url": _gateway_url(request), "shards": 1, "session_start_limit": starts})


def _gateway_url(request: web.Request) -> str:
    return f"ws://{request.host}/gateway"


ROUTES = [
    bot_route("GET", "/applications/@me", my_application),
    bot_route("PATCH", "/applications/@me", edit_application),
    bot_route("GET", "/applications/{application_id}", get_application),
    bot_route("GET", "/oauth2/applications/@me", my_application),
    bot_route("GET", "/gateway/bot", gateway_bot),
    open_route("GET", "/gateway", gateway),
]
