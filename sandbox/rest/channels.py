"""Channels over REST: read, made, changed, deleted, and who may do what in them."""

from typing import Any

from aiohttp import web

from sandbox import changes, errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.guilds import guild_of
from sandbox.rest.ratelimit import CHANNEL_RENAME
from sandbox.rest.shell import bot_route
from sandbox.world import objects, permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import MEMBER_OVERWRITE, ROLE_OVERWRITE, Channel, ChannelType, Guild, Overwrite
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_GUILD_TYPES = tuple(int(kind) for kind in ChannelType if kind is not ChannelType.DM)
_OVERWRITE_TYPES = (ROLE_OVERWRITE, MEMBER_OVERWRITE)


def _managed(request: web.Request, discord: LocalDiscord, application: Application, needed: Permission) -> Channel:
    channel = discord.world.channel_for(application, request.match_info["channel_id"])
    if channel.guild_id is None:
        raise DiscordError(errors.NOT_IN_DM)
    discord.world.require(application, channel, needed)
    return channel


async def get_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the channel."""
    return answer(objects.channel(discord.world.channel_for(application, request.match_info["channel_id"])))


async def list_channels(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the channels of a guild that the bot may view."""
    guild = guild_of(request, discord, application)
    return answer([objects.channel(c) for c in guild.channels.values() if discord.world.may_view(application, c)])


async def create_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Make a channel."""
    guild = guild_of(request, discord, application, Permission.MANAGE_CHANNELS)
    body, faults = await read_object(request), FieldFaults()
    kind: Any = 0 if body.get("type") is None else body["type"]
    faults.choice(("type",), kind, _GUILD_TYPES)
    if body.get("name") is None:
        faults.required(("name",))
    _check(body, guild, faults)
    channel = changes.new_channel(discord, guild, "", ChannelType(kind))
    apply_fields(channel, body)
    changes.channel_made(discord, channel)
    return answer(objects.channel(channel), 201)


async def edit_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change a channel. Its name and topic have a limit of their own, which no header shows."""
    channel = _managed(request, discord, application, Permission.MANAGE_CHANNELS)
    body = await read_object(request)
    _check(body, discord.world.guilds[str(channel.guild_id)], FieldFaults())
    if body.get("name") is not None or body.get("topic") is not None:
        discord.rate_limiter.spend_hidden(CHANNEL_RENAME, channel.id, discord.clock())
    apply_fields(channel, body)
    changes.channel_changed(discord, channel)
    return answer(objects.channel(channel))


def _check(body: Json, guild: Guild, faults: FieldFaults) -> None:
    for key, longest, shortest in (("name", limits.CHANNEL_NAME_MAX, 1), ("topic", limits.CHANNEL_TOPIC_MAX, 0)):
        if body.get(key) is not None:
            faults.text((key,), body[key], longest, shortest)
    faults.number(("rate_limit_per_user",), body.get("rate_limit_per_user"), 0, limits.SLOWMODE_MAX_S)
    faults.integer(("position",), body.get("position"))
    parent = guild.channels.get(str(body.get("parent_id")))
    if body.get("parent_id") is not None and (parent is None or parent.kind is not ChannelType.GUILD_CATEGORY):
        faults.add(("parent_id",), "CHANNEL_PARENT_INVALID", "Category does not exist")
    if body.get("permission_overwrites") is not None:
        rows = faults.sequence(("permission_overwrites",), body["permission_overwrites"], 100)
        for index, row in enumerate(rows):
            overwrite(faults.mapping(("permission_overwrites", index), row), guild, faults)
    faults.raise_if_any()


def overwrite(row: Json, guild: Guild, faults: FieldFaults, owner_id: str | None = None) -> Overwrite:
    """Return what a row allows and denies a role or a member, and record what is wrong with it."""
    owner = owner_id or str(row.get("id"))
    kind = row.get("type")
    if kind is None:
        kind = ROLE_OVERWRITE if owner in guild.roles else MEMBER_OVERWRITE
    if faults.choice(("type",), int(kind) if str(kind).isdecimal() else kind, _OVERWRITE_TYPES):
        known = guild.roles if int(kind) == ROLE_OVERWRITE else guild.members
        if owner not in known:
            faults.add(("id",), "OVERWRITE_UNKNOWN", "Unknown overwrite")
        return Overwrite(owner, int(kind), bits(row.get("allow"), faults), bits(row.get("deny"), faults))
    return Overwrite(owner, ROLE_OVERWRITE, 0, 0)


def bits(value: Any, faults: FieldFaults, path: tuple[str, ...] = ("permissions",)) -> int:  # noqa: ANN401
    """Return permissions given as a number or as digits, 0 for null; record a fault for anything else."""
    if value is None:
        return 0
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) > permissions.ALL:
        faults.add(path, "PERMISSIONS_TYPE_INVALID", f'Value "{value}" is not a permission bit field.')
        return 0
    return int(value)


def apply_fields(channel: Channel, body: Json) -> None:
    """Set what a checked body gives of a channel's fields."""
    if body.get("name") is not None:
        is_text = channel.kind in {ChannelType.GUILD_TEXT, ChannelType.GUILD_ANNOUNCEMENT}
        channel.name = "-".join(body["name"].lower().split()) if is_text else body["name"]
    for key in ("position", "nsfw", "rate_limit_per_user"):
        if body.get(key) is not None:
            setattr(channel, key, body[key])
    for key in ("topic", "parent_id"):
        if key in body:
            setattr(channel, key, body[key] or None)
    if body.get("permission_overwrites") is not None:
        rows = body["permission_overwrites"]
        guildless = FieldFaults()
        channel.overwrites = {
            str(row["id"]): Overwrite(
                str(row["id"]),
                int(row.get("type") or 0),
                bits(row.get("allow"), guildless),
                bits(row.get("deny"), guildless),
            )
            for row in rows
        }


async def delete_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a guild's channel; answer what it was."""
    channel = _managed(request, discord, application, Permission.MANAGE_CHANNELS)
    shown = objects.channel(channel)
    changes.delete_channel(discord, channel)
    return answer(shown)


async def set_overwrite(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Set what a role or a member may do in the channel."""
    channel = _managed(request, discord, application, Permission.MANAGE_ROLES)
    guild, faults = discord.world.guilds[str(channel.guild_id)], FieldFaults()
    row = overwrite(await read_object(request), guild, faults, request.match_info["overwrite_id"])
    faults.raise_if_any()
    channel.overwrites[row.id] = row
    changes.channel_changed(discord, channel)
    return web.Response(status=204)


async def delete_overwrite(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take an overwrite away."""
    channel = _managed(request, discord, application, Permission.MANAGE_ROLES)
    if channel.overwrites.pop(request.match_info["overwrite_id"], None) is None:
        raise DiscordError(errors.UNKNOWN_OVERWRITE)
    changes.channel_changed(discord, channel)
    return web.Response(status=204)


ROUTES = [
    bot_route("GET", "/channels/{channel_id}", get_channel),
    bot_route("PATCH", "/channels/{channel_id}", edit_channel),
    bot_route("DELETE", "/channels/{channel_id}", delete_channel),
    bot_route("PUT", "/channels/{channel_id}/permissions/{overwrite_id}", set_overwrite),
    bot_route("DELETE", "/channels/{channel_id}/permissions/{overwrite_id}", delete_overwrite),
    bot_route("GET", "/guilds/{guild_id}/channels", list_channels),
    bot_route("POST", "/guilds/{guild_id}/channels", create_channel),
]
