"""Pins over REST, at their present paths and at the older ones (deprecated, and still served by Discord)."""

from aiohttp import web

from sandbox import limits, reacting
from sandbox.http import answer, page_query
from sandbox.local_discord import LocalDiscord
from sandbox.rest.messages import channel_of, may_read_history
from sandbox.rest.shell import Handler, bot_route
from sandbox.shapes import as_utc, check, moment, record
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json, timestamp
from sandbox.world.permissions import Permission

_QUERY = record({"before": moment})


def _pins(discord: LocalDiscord, channel: Channel, application: Application) -> list[tuple[Json, float]]:
    """Return the pinned messages, newest pin first; none without READ_MESSAGE_HISTORY, as documented."""
    if not may_read_history(discord, application, channel):
        return []
    found = [(discord.messages.find(channel.id, each), at) for each, at in discord.messages.pins.of(channel.id)]
    return [(discord.messages.seen_by(row, application.id), at) for row, at in found if row is not None]


async def list_pins(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of pins, those made before a time."""
    channel = channel_of(request, discord, application)
    limit, _ = page_query(request, limits.PINS_PAGE_MAX, limits.PINS_PAGE_MAX, ())
    check(_QUERY, dict(request.query))
    before = request.query.get("before")
    until = float("inf") if before is None else as_utc(before).timestamp()
    rows = [(message, at) for message, at in _pins(discord, channel, application) if at < until]
    items = [{"pinned_at": timestamp(at), "message": message} for message, at in rows[:limit]]
    return answer({"items": items, "has_more": len(rows) > limit})


async def list_messages(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the newest pinned messages."""
    channel = channel_of(request, discord, application)
    return answer([message for message, _ in _pins(discord, channel, application)[: limits.PINS_PAGE_MAX]])


def _to_pin(request: web.Request, discord: LocalDiscord, application: Application) -> tuple[Channel, Json]:
    channel = channel_of(request, discord, application, Permission.PIN_MESSAGES)
    return channel, discord.messages.get(channel.id, request.match_info["message_id"])


async def pin(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Pin a message."""
    reacting.pin(discord, *_to_pin(request, discord, application), application.bot)
    return web.Response(status=204)


async def unpin(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Unpin a message."""
    reacting.unpin(discord, *_to_pin(request, discord, application))
    return web.Response(status=204)


_PLACES: list[tuple[str, Handler]] = [
    ("/channels/{channel_id}/messages/pins", list_pins),
    ("/channels/{channel_id}/pins", list_messages),
]
ROUTES = [
    route
    for path, lister in _PLACES
    for route in (
        bot_route("GET", path, lister),
        bot_route("PUT", path + "/{message_id}", pin),
        bot_route("DELETE", path + "/{message_id}", unpin),
    )
]
