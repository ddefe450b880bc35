"""Channels over REST: read, made, changed, deleted, and who may do what in them."""

from aiohttp import web

from sandbox import changes, errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.guilds import guild_of
from sandbox.rest.ratelimit import CHANNEL_RENAME
from sandbox.rest.shell import bot_route
from sandbox.shapes import INT32_MAX, Shape, boolean, check, choice, integer, items, record, snowflake, text
from sandbox.shapes import permissions as permission_bits
from sandbox.world import objects, permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import MEMBER_OVERWRITE, ROLE_OVERWRITE, Channel, ChannelType, Guild, Overwrite
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_GUILD_TYPES = tuple(int(kind) for kind in ChannelType if kind is not ChannelType.DM)
_OVERWRITE_FIELDS: dict[str, Shape] = {
    "type": choice(ROLE_OVERWRITE, MEMBER_OVERWRITE),
    "allow": permission_bits,
    "deny": permission_bits,
}
_OVERWRITE = record(_OVERWRITE_FIELDS)
_OVERWRITES = items(record({"id": snowflake, **_OVERWRITE_FIELDS}, required=("id",)), limits.OVERWRITES_MAX)
_SLOWMODE = integer(0, limits.SLOWMODE_MAX_S)
_EMOJI: dict[str, Shape] = {"emoji_id": snowflake, "emoji_name": text(limits.CHANNEL_NAME_MAX)}
_TAG = record({"name": text(limits.FORUM_TAG_NAME_MAX), "moderated": boolean, "id": snowflake, **_EMOJI}, ("name",))
_FIELDS: dict[str, Shape] = {
    "name": text(limits.CHANNEL_NAME_MAX, 1),
    "type": choice(*_GUILD_TYPES),
    "position": integer(0, INT32_MAX),
    "topic": text(limits.CHANNEL_TOPIC_MAX),
    "bitrate": integer(limits.BITRATE_MIN, limits.BITRATE_MAX),
    "user_limit": integer(0, limits.VOICE_USERS_MAX),
    "nsfw": boolean,
    "rate_limit_per_user": _SLOWMODE,
    "parent_id": snowflake,
    "permission_overwrites": _OVERWRITES,
    "rtc_region": text(limits.CHANNEL_NAME_MAX),
    "video_quality_mode": choice(1, 2),
    "default_auto_archive_duration": choice(60, 1440, 4320, 10080),
    "default_reaction_emoji": record(_EMOJI),
    "default_thread_rate_limit_per_user": _SLOWMODE,
    "default_sort_order": choice(0, 1),
    "default_forum_layout": choice(0, 1, 2),
    "default_tag_setting": choice("match_all", "match_some"),
    "flags": integer(0, INT32_MAX),
    "available_tags": items(_TAG, limits.FORUM_TAGS_MAX),
}
_NEW_CHANNEL, _CHANNEL = record(_FIELDS, required=("name",)), record(_FIELDS, filled=("name",))


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
    body = await read_object(request)
    _check(body, guild, is_new=True)
    channel = changes.new_channel(discord, guild, "", ChannelType(body.get("type") or 0))
    _apply(channel, guild, body)
    changes.channel_made(discord, channel)
    return answer(objects.channel(channel), 201)


async def edit_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change a channel. Its name and topic have a limit of their own, which no header shows."""
    channel = _managed(request, discord, application, Permission.MANAGE_CHANNELS)
    guild, body = discord.world.guilds[str(channel.guild_id)], await read_object(request)
    _check(body, guild, is_new=False)
    if body.get("name") is not None or body.get("topic") is not None:
        discord.rate_limiter.spend_hidden(CHANNEL_RENAME, channel.id, discord.clock())
    if body.get("type") is not None:
        _convert(channel, body["type"])
    _apply(channel, guild, body)
    changes.channel_changed(discord, channel)
    return answer(objects.channel(channel))


def _check(body: Json, guild: Guild, *, is_new: bool) -> None:
    check(_NEW_CHANNEL if is_new else _CHANNEL, body)
    faults = FieldFaults()
    parent = guild.channels.get(str(body.get("parent_id")))
    if body.get("parent_id") is not None and (parent is None or parent.kind is not ChannelType.GUILD_CATEGORY):
        faults.add(("parent_id",), "CHANNEL_PARENT_INVALID", "Category does not exist")
    for index, row in enumerate(body.get("permission_overwrites") or []):
        if not _known(guild, overwrite(row, guild)):
            faults.add(("permission_overwrites", index, "id"), "OVERWRITE_UNKNOWN", "Unknown overwrite")
    faults.raise_if_any()


def overwrite(row: Json, guild: Guild, owner_id: str | None = None) -> Overwrite:
    """Return what a row of the right shape allows and denies a role or a member.

    owner_id: the role or member, if the row does not say.
    """
    owner, kind = owner_id or str(row.get("id")), row.get("type")
    if kind is None:
        kind = ROLE_OVERWRITE if owner in guild.roles else MEMBER_OVERWRITE
    return Overwrite(owner, kind, _bits(row.get("allow")), _bits(row.get("deny")))


def _known(guild: Guild, row: Overwrite) -> bool:
    return row.id in (guild.roles if row.kind == ROLE_OVERWRITE else guild.members)


def _bits(value: int | str | None) -> int:
    """Return checked permissions as a number; bits that Discord does not know are dropped."""
    return int(value or 0) & permissions.ALL


def read_overwrites(rows: list[Json], guild: Guild) -> dict[str, Overwrite]:
    """Return a channel's overwrites by role or member. Raises DiscordError 50035 for rows that are none."""
    check(_OVERWRITES, rows)
    faults, read = FieldFaults(), [overwrite(row, guild) for row in rows]
    for index, row in enumerate(read):
        if not _known(guild, row):
            faults.add((index, "id"), "OVERWRITE_UNKNOWN", "Unknown overwrite")
    faults.raise_if_any()
    return {row.id: row for row in read}


def _apply(channel: Channel, guild: Guild, body: Json) -> None:
    """Set what a checked body gives of a channel's fields."""
    if body.get("name") is not None:
        is_text = channel.kind in {ChannelType.GUILD_TEXT, ChannelType.GUILD_ANNOUNCEMENT}
        channel.name = "-".join(body["name"].lower().split()) if is_text else body["name"]
    for key in ("position", "nsfw", "rate_limit_per_user"):
        if body.get(key) is not None:
            setattr(channel, key, body[key])
    for key in ("topic", "parent_id"):
        if key in body:
            setattr(channel, key, str(body[key]) if body[key] else None)
    if body.get("permission_overwrites") is not None:
        rows = [overwrite(row, guild) for row in body["permission_overwrites"]]
        channel.overwrites = {row.id: row for row in rows}


def _convert(channel: Channel, kind: int) -> None:
    """Change a channel's type; only text and announcement channels can become each other (documented)."""
    if kind == channel.kind:
        return
    if {kind, channel.kind} != {ChannelType.GUILD_TEXT, ChannelType.GUILD_ANNOUNCEMENT}:
        faults = FieldFaults()
        faults.choice(("type",), None, (int(ChannelType.GUILD_TEXT), int(ChannelType.GUILD_ANNOUNCEMENT)))
        faults.raise_if_any()
    channel.kind = ChannelType(kind)


async def delete_channel(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a guild's channel; answer what it was."""
    channel = _managed(request, discord, application, Permission.MANAGE_CHANNELS)
    shown = objects.channel(channel)
    changes.delete_channel(discord, channel)
    return answer(shown)


async def set_overwrite(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Set what a role or a member may do in the channel."""
    channel = _managed(request, discord, application, Permission.MANAGE_ROLES)
    guild, body = discord.world.guilds[str(channel.guild_id)], await read_object(request)
    check(_OVERWRITE, body)
    row = overwrite(body, guild, request.match_info["overwrite_id"])
    if not _known(guild, row):
        faults = FieldFaults()
        faults.add(("id",), "OVERWRITE_UNKNOWN", "Unknown overwrite")
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
