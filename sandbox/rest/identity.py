"""The bot's application, and where its gateway lies."""

from aiohttp import web

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.http import answer, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.oauth2.authorize import SCOPES
from sandbox.rest.shell import bot_route, open_route
from sandbox.shapes import (
    INT32_MAX,
    LINKS,
    check,
    choice,
    integer,
    items,
    permissions,
    record,
    snowflake,
    table,
    text,
    url,
)
from sandbox.world import objects
from sandbox.world.applications import Application
from sandbox.world.objects import Json

_URL, _DATA = url(limits.URL_MAX, *LINKS), text(limits.REQUEST_MAX_BYTES)
_INSTALL = record({
    "scopes": items(choice(*sorted(SCOPES)), len(SCOPES), 1, unique=True),
    "permissions": permissions,
})  # fmt: skip
_WEBHOOK_EVENTS = (  # documented: Webhook Events
    "APPLICATION_AUTHORIZED", "APPLICATION_DEAUTHORIZED", "ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE",
    "ENTITLEMENT_DELETE", "QUEST_USER_ENROLLMENT", "LOBBY_MESSAGE_CREATE", "LOBBY_MESSAGE_UPDATE",
    "LOBBY_MESSAGE_DELETE", "GAME_DIRECT_MESSAGE_CREATE", "GAME_DIRECT_MESSAGE_UPDATE", "GAME_DIRECT_MESSAGE_DELETE",
)  # fmt: skip
_APPLICATION = record({
    "description": text(limits.APPLICATION_DESCRIPTION_MAX),
    "icon": _DATA,
    "cover_image": _DATA,
    "team_id": snowflake,
    "flags": integer(0, INT32_MAX),
    "interactions_endpoint_url": _URL,
    "explicit_content_filter": choice(0, 1),
    "max_participants": integer(-1, INT32_MAX),
    "type": choice(4),
    "tags": items(text(limits.APPLICATION_TAG_MAX), limits.APPLICATION_TAGS_MAX, unique=True),
    "custom_install_url": _URL,
    "install_params": _INSTALL,
    "role_connections_verification_url": _URL,
    "integration_types_config": table(record({"oauth2_install_params": _INSTALL}), 2, ("0", "1"), 1),
    "event_webhooks_status": choice(1, 2),
    "event_webhooks_url": _URL,
    "event_webhooks_types": items(choice(*_WEBHOOK_EVENTS), len(_WEBHOOK_EVENTS), unique=True),
})  # fmt: skip


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
    body = await read_object(request)
    check(_APPLICATION, body)
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
    starts = application.starts
    limit = starts.as_json(discord.clock())
    return answer({"url": _gateway_url(request), "shards": starts.shards, "session_start_limit": limit})


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
