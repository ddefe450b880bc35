"""Guilds, roles and bans over REST."""

from aiohttp import web

from sandbox import changes, errors, limits, posting
from sandbox.errors import DiscordError
from sandbox.http import answer, boolean_query, numbers_query, page_query, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import bot_route
from sandbox.shapes import boolean, check, integer, record, text
from sandbox.shapes import permissions as permission_bits
from sandbox.world import objects, permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import Guild, Role
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_COLOUR = integer(0, 0xFFFFFF)
_ROLE = record({
    "name": text(limits.ROLE_NAME_MAX, 1),
    "permissions": permission_bits,
    "color": _COLOUR,
    "colors": record({"primary_color": _COLOUR, "secondary_color": _COLOUR, "tertiary_color": _COLOUR}),
    "hoist": boolean,
    "mentionable": boolean,
    "icon": text(limits.REQUEST_MAX_BYTES),
    "unicode_emoji": text(limits.ROLE_NAME_MAX),
})  # fmt: skip
_DAY_S = 86_400
_BAN_FIELDS = {
    "delete_message_seconds": integer(0, limits.BAN_DELETE_MAX_S),
    "delete_message_days": integer(0, limits.BAN_DELETE_MAX_DAYS),
}
_BAN = record(_BAN_FIELDS)


def guild_of(request: web.Request, discord: LocalDiscord, application: Application, *needed: Permission) -> Guild:
    """Return the guild in the request's path; raise DiscordError if the bot is not in it or lacks a permission."""
    guild = discord.world.guild_for(application, request.match_info["guild_id"])
    granted = permissions.in_guild(guild, application.id)
    if any(not granted & each for each in needed):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    return guild


async def get_guild(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the guild; with its counts if asked. One that the bot is not in is unknown."""
    guild = discord.world.guilds.get(request.match_info["guild_id"])
    if guild is None or application.id not in guild.members:
        raise DiscordError(errors.UNKNOWN_GUILD)
    shown = objects.guild(guild)
    if boolean_query(request, "with_counts"):
        shown |= {"approximate_member_count": len(guild.members), "approximate_presence_count": len(guild.bots)}
    return answer(shown)


async def list_roles(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the roles of a guild."""
    return answer([objects.role(role) for role in guild_of(request, discord, application).roles.values()])


def _role(request: web.Request, guild: Guild) -> Role:
    role = guild.roles.get(request.match_info["role_id"])
    if role is None:
        raise DiscordError(errors.UNKNOWN_ROLE)
    return role


async def get_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one role."""
    return answer(objects.role(_role(request, guild_of(request, discord, application))))


def _read_role(body: Json) -> Json:
    check(_ROLE, body)
    if body.get("icon") is not None or body.get("unicode_emoji") is not None:
        raise DiscordError(errors.TOO_FEW_BOOSTS)
    given = {key: body[key] for key in ("name", "color", "hoist", "mentionable") if body.get(key) is not None}
    primary = (body.get("colors") or {}).get("primary_color")
    if primary is not None:
        given["color"] = primary
    return given | ({} if body.get("permissions") is None else {"permissions": int(body["permissions"])})


def _check_granted(guild: Guild, application: Application, granted: int) -> int:
    """Return the permissions that Discord knows of those asked for. Raises DiscordError 50013 if the bot lacks one."""
    granted &= permissions.ALL
    if granted & ~permissions.in_guild(guild, application.id):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    return granted


async def create_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Make a role, which may hold no permission that the bot lacks."""
    guild = guild_of(request, discord, application, Permission.MANAGE_ROLES)
    given = _read_role(await read_object(request))
    granted = _check_granted(guild, application, given.pop("permissions", guild.everyone.permissions))
    role = changes.new_role(discord, guild, given.pop("name", "new role"), granted, given)
    return answer(objects.role(role))


async def edit_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change a role below the bot's own."""
    guild = guild_of(request, discord, application, Permission.MANAGE_ROLES)
    role = _below(request, guild, application)
    given = _read_role(await read_object(request))
    if "permissions" in given:
        given["permissions"] = _check_granted(guild, application, given["permissions"])
    for key, value in given.items():
        setattr(role, key, value)
    changes.role_changed(discord, guild, role)
    return answer(objects.role(role))


async def delete_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a role below the bot's own that belongs to no bot."""
    guild = guild_of(request, discord, application, Permission.MANAGE_ROLES)
    role = _below(request, guild, application)
    if role.bot_id is not None or role is guild.everyone:
        raise DiscordError(errors.INVALID_ROLE)
    changes.delete_role(discord, guild, role)
    return web.Response(status=204)


def _below(request: web.Request, guild: Guild, application: Application) -> Role:
    role = _role(request, guild)
    if role.position >= guild.top_position(application.id):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    return role


async def list_bans(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of bans, by user id."""
    guild = guild_of(request, discord, application, Permission.BAN_MEMBERS)
    limit, at = page_query(request, limits.MEMBERS_PAGE_MAX, limits.MEMBERS_PAGE_MAX, ("before", "after"))
    ids = sorted(int(each) for each in guild.banned)
    ids = [each for each in ids if each > at.get("after", -1) and each < at.get("before", 1 << 64)]
    return answer([_ban(guild, str(each)) for each in ids[:limit]])


def _ban(guild: Guild, user_id: str) -> Json:
    if user_id not in guild.banned:
        raise DiscordError(errors.UNKNOWN_BAN)
    user, reason = guild.banned[user_id]
    return {"user": user.as_json(), "reason": reason}


async def get_ban(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one ban."""
    guild = guild_of(request, discord, application, Permission.BAN_MEMBERS)
    return answer(_ban(guild, request.match_info["user_id"]))


async def ban(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Ban a user, member or not, and delete what he wrote lately if asked."""
    guild = guild_of(request, discord, application, Permission.BAN_MEMBERS)
    wanted = numbers_query(request, _BAN_FIELDS)  # as discord.py sends it
    if request.body_exists:  # documented: all of it is optional
        wanted |= await read_object(request)
    check(_BAN, wanted)
    user = discord.world.users.get(request.match_info["user_id"])
    if user is None:
        raise DiscordError(errors.UNKNOWN_USER)
    if user.id in guild.members:
        check_rank(guild, application, user.id)
    changes.ban(discord, guild, user, request.headers.get("X-Audit-Log-Reason"))
    seconds = wanted.get("delete_message_seconds") or (wanted.get("delete_message_days") or 0) * _DAY_S
    if seconds:
        posting.delete_by(discord, guild, user.id, seconds)
    return web.Response(status=204)


async def unban(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Lift a ban."""
    guild = guild_of(request, discord, application, Permission.BAN_MEMBERS)
    _ban(guild, request.match_info["user_id"])
    changes.unban(discord, guild, guild.banned[request.match_info["user_id"]][0])
    return web.Response(status=204)


def check_rank(guild: Guild, application: Application, user_id: str) -> None:
    """Raise DiscordError 50013 if a member is the owner or not below the bot (documented: Permission Hierarchy)."""
    if user_id == guild.owner_id or guild.top_position(user_id) >= guild.top_position(application.id):
        raise DiscordError(errors.MISSING_PERMISSIONS)


_ROLES = "/guilds/{guild_id}/roles"
_BANS = "/guilds/{guild_id}/bans"
ROUTES = [
    bot_route("GET", "/guilds/{guild_id}", get_guild),
    bot_route("GET", _ROLES, list_roles),
    bot_route("POST", _ROLES, create_role),
    bot_route("GET", _ROLES + "/{role_id}", get_role),
    bot_route("PATCH", _ROLES + "/{role_id}", edit_role),
    bot_route("DELETE", _ROLES + "/{role_id}", delete_role),
    bot_route("GET", _BANS, list_bans),
    bot_route("GET", _BANS + "/{user_id}", get_ban),
    bot_route("PUT", _BANS + "/{user_id}", ban),
    bot_route("DELETE", _BANS + "/{user_id}", unban),
]
