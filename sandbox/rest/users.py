"""Users over REST: the caller itself, others, the caller's guilds and a bot's private channels."""

from dataclasses import replace

from aiohttp import web

from sandbox import changes, errors, limits
from sandbox.errors import DiscordError
from sandbox.http import answer, boolean_query, page_query, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import Caller, bot_route, caller_route
from sandbox.shapes import check, items, record, snowflake, table, text
from sandbox.world import objects
from sandbox.world.applications import Application

_EMAIL_FIELDS = ("email", "verified")  # documented: User object, Required OAuth2 Scope
_ANY_TEXT = text(limits.REQUEST_MAX_BYTES)
_ME = record(
    {
        "username": text(limits.USERNAME_MAX, limits.USERNAME_MIN),
        "avatar": _ANY_TEXT,
        "banner": _ANY_TEXT,
    },
    filled=("username",),
)
_DM = record(
    {
        "recipient_id": snowflake,
        "access_tokens": items(_ANY_TEXT, limits.GROUP_DM_MAX, unique=True),
        "nicks": table(_ANY_TEXT, limits.GROUP_DM_MAX),
    },
    required=("recipient_id",),
)


async def me(_: web.Request, __: LocalDiscord, caller: Caller) -> web.Response:
    """Answer the caller's own user, with its address only for the scope that shows it."""
    user = caller.user.as_own_json()
    if caller.authorization is not None:
        for name in _EMAIL_FIELDS:
            del user[name]
        if caller.has("email"):
            user |= {"email": f"{caller.user.username}@example.com", "verified": True}
    return answer(user)


async def edit_me(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change the bot's name; an avatar is accepted and not shown."""
    body = await read_object(request)
    check(_ME, body)
    if body.get("username"):
        discord.world.rename(application, replace(application.bot, username=body["username"]))
        discord.router.to_application(application.id, "USER_UPDATE", application.bot.as_own_json(), None)
    return answer(application.bot.as_own_json())


async def get_user(request: web.Request, discord: LocalDiscord, _: Application) -> web.Response:
    """Answer a user."""
    user = discord.world.users.get(request.match_info["user_id"])
    if user is None:
        raise DiscordError(errors.UNKNOWN_USER)
    return answer(user.as_json())


async def my_guilds(request: web.Request, discord: LocalDiscord, caller: Caller) -> web.Response:
    """Answer a page of the guilds the caller is in, by id."""
    user_id = caller.user.id
    limit, at = page_query(request, limits.GUILDS_PAGE_MAX, limits.GUILDS_PAGE_MAX, ("before", "after"))
    rows = sorted(discord.world.guilds_of(user_id), key=lambda guild: int(guild.id))
    rows = [row for row in rows if at.get("after", -1) < int(row.id) < at.get("before", 1 << 64)]
    page = rows[-limit:] if "before" in at else rows[:limit]
    shown = [objects.own_guild(guild, user_id) for guild in page]
    if boolean_query(request, "with_counts"):
        for row, guild in zip(shown, page, strict=True):
            row["approximate_member_count"] = len(guild.members)
            row["approximate_presence_count"] = len(guild.bots)
    return answer(shown)


async def my_member(request: web.Request, discord: LocalDiscord, caller: Caller) -> web.Response:
    """Answer the caller as a member of a guild."""
    guild = discord.world.guilds.get(request.match_info["guild_id"])
    if guild is None or caller.user.id not in guild.members:
        raise DiscordError(errors.UNKNOWN_GUILD)
    return answer(objects.member(guild.members[caller.user.id]))


async def leave_guild(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Leave a guild."""
    guild = discord.world.guilds.get(request.match_info["guild_id"])
    if guild is None or application.id not in guild.members:
        raise DiscordError(errors.UNKNOWN_GUILD)
    changes.leave(discord, guild, application.id)
    return web.Response(status=204)


async def open_dm(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Open a private channel with a user, or answer the open one."""
    body = await read_object(request)
    check(_DM, body)
    person = discord.world.users.get(str(body["recipient_id"]))
    if person is None:
        raise DiscordError(errors.UNKNOWN_USER)
    if person.bot:
        raise DiscordError(errors.CANNOT_DM_USER)
    return answer(objects.channel(discord.world.dm(application, person)))


ROUTES = [
    caller_route("GET", "/users/@me", me, scope="identify"),
    bot_route("PATCH", "/users/@me", edit_me),
    caller_route("GET", "/users/@me/guilds", my_guilds, scope="guilds"),
    caller_route("GET", "/users/@me/guilds/{guild_id}/member", my_member, scope="guilds.members.read", bots=False),
    bot_route("DELETE", "/users/@me/guilds/{guild_id}", leave_guild),
    bot_route("POST", "/users/@me/channels", open_dm),
    bot_route("GET", "/users/{user_id}", get_user),
]
