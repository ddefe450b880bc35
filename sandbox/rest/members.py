"""Members over REST: listed, found, changed, given roles, timed out, kicked."""

from collections.abc import Iterable

from aiohttp import web

from sandbox import changes, errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.http import answer, page_query, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.guilds import check_rank, guild_of
from sandbox.rest.shell import bot_route
from sandbox.shapes import INT32_MAX, as_utc, boolean, check, integer, items, moment, record, snowflake, text
from sandbox.world import objects, permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import Guild, Member
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission

_NICK, _DATA = text(limits.NICK_MAX), text(limits.REQUEST_MAX_BYTES)
_ME = record({"nick": _NICK, "avatar": _DATA, "banner": _DATA, "bio": text(limits.BIO_MAX)})
_MEMBER = record({
    "nick": _NICK,
    "roles": items(snowflake, limits.MEMBER_ROLES_MAX, unique=True, nulls=True),
    "mute": boolean,
    "deaf": boolean,
    "channel_id": snowflake,
    "communication_disabled_until": moment,
    "flags": integer(0, INT32_MAX),
})  # fmt: skip
_SEARCH = record({"query": text(100, 1)}, required=("query",))  # description
_PAGE_DEFAULT = 1  # documented: List Guild Members


def _member(request: web.Request, guild: Guild) -> Member:
    member = guild.members.get(request.match_info["user_id"])
    if member is None:
        raise DiscordError(errors.UNKNOWN_MEMBER)
    return member


async def list_members(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer a page of members by user id; needs the GUILD_MEMBERS intent to be granted, as documented."""
    guild = guild_of(request, discord, application)
    if application.privileged_refused:
        raise DiscordError(errors.MISSING_ACCESS)
    limit, at = page_query(request, _PAGE_DEFAULT, limits.MEMBERS_PAGE_MAX, ("after",))
    rows = sorted(guild.members.values(), key=lambda row: int(row.user.id))
    rows = [row for row in rows if int(row.user.id) > at.get("after", -1)]
    return answer([objects.member(row) for row in rows[:limit]])


async def search_members(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the members whose name or nick begins with `query`."""
    guild = guild_of(request, discord, application)
    limit, _ = page_query(request, _PAGE_DEFAULT, limits.MEMBERS_PAGE_MAX, ())
    check(_SEARCH, dict(request.query))
    query = request.query["query"].lower()
    found = [
        m
        for m in guild.members.values()
        if (m.nick or "").lower().startswith(query) or m.user.username.lower().startswith(query)
    ]
    return answer([objects.member(row) for row in found[:limit]])


async def get_member(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one member."""
    return answer(objects.member(_member(request, guild_of(request, discord, application))))


async def edit_me(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change the bot's own nick."""
    guild = guild_of(request, discord, application, Permission.CHANGE_NICKNAME)
    body = await read_object(request)
    check(_ME, body)
    member = guild.members[application.id]
    if "nick" in body:
        member.nick = body["nick"] or None
    changes.member_changed(discord, guild, member)
    return answer(objects.member(member))


_NEEDED = {
    "nick": Permission.MANAGE_NICKNAMES,
    "roles": Permission.MANAGE_ROLES,
    "communication_disabled_until": Permission.MODERATE_MEMBERS,
}


async def edit_member(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change a member's nick or roles, or time him out for at most 28 days."""
    guild = guild_of(request, discord, application)
    member, body, faults = _member(request, guild), await read_object(request), FieldFaults()
    check(_MEMBER, body)
    roles = [str(each) for each in body.get("roles") or [] if each is not None]
    for index, role_id in enumerate(roles):
        if role_id not in guild.roles:
            faults.add(("roles", index), "ROLE_UNKNOWN", f"Role {role_id} does not exist")
    _check_timeout(body.get("communication_disabled_until"), discord.clock(), faults)
    faults.raise_if_any()
    granted = permissions.in_guild(guild, application.id)
    if any(key in body and not granted & needed for key, needed in _NEEDED.items()):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    check_rank(guild, application, member.user.id)
    if body.get("roles") is not None:
        _check_roles(guild, application, set(roles) ^ set(member.roles))
    if any(body.get(key) is not None for key in ("mute", "deaf", "channel_id")):
        raise DiscordError(errors.NOT_IN_VOICE)
    _apply(member, body, roles)
    changes.member_changed(discord, guild, member)
    return answer(objects.member(member))


def _apply(member: Member, body: Json, roles: list[str]) -> None:
    if "nick" in body:
        member.nick = body["nick"] or None
    if body.get("roles") is not None:
        member.roles = roles
    if "communication_disabled_until" in body:
        until = body["communication_disabled_until"]
        member.timeout_until = None if until is None else as_utc(until).isoformat()


def _check_timeout(until: str | None, now: float, faults: FieldFaults) -> None:
    if until is not None and as_utc(until).timestamp() - now > limits.TIMEOUT_MAX_S:
        path = ("communication_disabled_until",)
        faults.add(path, "GUILD_MEMBER_TIMEOUT_TOO_LONG", "A timeout can last 28 days at most")


def _check_roles(guild: Guild, application: Application, changed: Iterable[str]) -> None:
    """Raise DiscordError 50013 if a role that is given or taken does not lie below the bot's own."""
    top = guild.top_position(application.id)
    if any(guild.roles[role_id].position >= top for role_id in changed if role_id in guild.roles):
        raise DiscordError(errors.MISSING_PERMISSIONS)


async def kick(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Remove a member."""
    guild = guild_of(request, discord, application, Permission.KICK_MEMBERS)
    member = _member(request, guild)
    check_rank(guild, application, member.user.id)
    changes.leave(discord, guild, member.user.id)
    return web.Response(status=204)


async def give_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Give a member a role below the bot's own."""
    guild, member, role_id = _role_change(request, discord, application)
    if role_id not in member.roles:
        member.roles.append(role_id)
        changes.member_changed(discord, guild, member)
    return web.Response(status=204)


async def take_role(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Take a role below the bot's own from a member."""
    guild, member, role_id = _role_change(request, discord, application)
    if role_id in member.roles:
        member.roles.remove(role_id)
        changes.member_changed(discord, guild, member)
    return web.Response(status=204)


def _role_change(request: web.Request, discord: LocalDiscord, application: Application) -> tuple[Guild, Member, str]:
    guild = guild_of(request, discord, application, Permission.MANAGE_ROLES)
    member = _member(request, guild)
    role = guild.roles.get(request.match_info["role_id"])
    if role is None:
        raise DiscordError(errors.UNKNOWN_ROLE)
    if role.position >= guild.top_position(application.id):
        raise DiscordError(errors.MISSING_PERMISSIONS)
    return guild, member, role.id


_MEMBERS = "/guilds/{guild_id}/members"
_ROLE_OF_MEMBER = _MEMBERS + "/{user_id}/roles/{role_id}"
ROUTES = [
    bot_route("GET", _MEMBERS, list_members),
    bot_route("GET", _MEMBERS + "/search", search_members),
    bot_route("PATCH", _MEMBERS + "/@me", edit_me),
    bot_route("GET", _MEMBERS + "/{user_id}", get_member),
    bot_route("PATCH", _MEMBERS + "/{user_id}", edit_member),
    bot_route("DELETE", _MEMBERS + "/{user_id}", kick),
    bot_route("PUT", _ROLE_OF_MEMBER, give_role),
    bot_route("DELETE", _ROLE_OF_MEMBER, take_role),
]
