"""Who a bot is, and where its gateway lies."""

from aiohttp import web

from sandbox.http import answer
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import PREFIX, bot_route
from sandbox.world.world import Application


async def me(_: web.Request, __: LocalDiscord, application: Application) -> web.Response:
    """Answer the bot's own user."""
    return answer(application.bot.as_own_json())


async def my_application(_: web.Request, __: LocalDiscord, application: Application) -> web.Response:
    """Answer the bot's own application."""
    return answer(application.as_json())


async def gateway(request: web.Request) -> web.Response:
    """Answer the gateway's address; open to everyone."""
    return answer({"url": _gateway_url(request)})


async def gateway_bot(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the gateway's address and the bot's session starts."""
    starts = application.starts.as_json(discord.clock())
    return answer({"url": _gateway_url(request), "shards": 1, "session_start_limit": starts})


def _gateway_url(request: web.Request) -> str:
    return f"ws://{request.host}/gateway"


ROUTES = [
    bot_route("GET", "/users/@me", me),
    bot_route("GET", "/applications/@me", my_application),
    bot_route("GET", "/oauth2/applications/@me", my_application),
    bot_route("GET", "/gateway/bot", gateway_bot),
    web.get(f"{PREFIX}/gateway", gateway),
]
