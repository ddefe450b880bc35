"""Control calls: guilds, channels, roles, members and users on demand, and the clock."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from sandbox import changes, limits
from sandbox.control.door import ControlError
from sandbox.control.shell import (
    PREFIX,
    Name,
    Person,
    find_application,
    find_channel,
    guild_of,
    person_of,
    read_body,
)
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.rest.channels import read_overwrites
from sandbox.world import objects, permissions
from sandbox.world.guilds import Channel, ChannelType, Guild, Role
from sandbox.world.objects import Json
from sandbox.world.users import User

_TYPES = {kind.name.removeprefix("GUILD_").lower(): kind for kind in ChannelType if kind is not ChannelType.DM}
_MEMBERS_MAX, _GUILDS_MAX = 100_000, 5_000  # ours: of one call


class NewGuild(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/guilds: `count` guilds alike, each with `members` people beside its owner and the bots."""

    name: Name
    owner: Person | None = None
    applications: list[str] = []
    members: int = 0
    channels: list[Name] = msgspec.field(default_factory=lambda: ["general"])
    roles: list[Name] = []
    count: int = 1


class GuildChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH /sandbox/guilds/ID."""

    name: Name


class ChannelBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/channels (name required) and PATCH /sandbox/channels/ID.

    overwrites: rows of `id` (a role's or a member's), `allow` and `deny` (numbers); they replace those there are.
    """

    name: Name | None = None
    type: str = "text"
    topic: Annotated[str, msgspec.Meta(max_length=limits.CHANNEL_TOPIC_MAX)] | None = None
    parent_id: str | None = None
    overwrites: list[dict[str, Any]] | None = None


class NewMember(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/members: a bot by `application_id`, or a user."""

    application_id: str | None = None
    user: Person | None = None
    roles: list[str] = []


class MemberChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH …/members/ID."""

    roles: list[str] | None = None
    nick: Name | None = None


class RoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/roles (name required) and PATCH …/roles/ID. permissions: Discord's bit field."""

    name: Name | None = None
    permissions: int | None = None


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/users."""

    username: Name


class ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/clock."""

    advance_s: float


def _brief(guild: Guild) -> Json:
    return {
        "id": guild.id,
        "name": guild.name,
        "owner_id": guild.owner_id,
        "members": len(guild.members),
        "applications": list(guild.bots),
        "channels": [{"id": c.id, "name": c.name, "type": c.kind.name.lower()} for c in guild.channels.values()],
        "roles": [_role(role) for role in guild.roles.values()],
    }


def _role(role: Role) -> Json:
    return {"id": role.id, "name": role.name, "permissions": str(role.permissions), "position": role.position}


async def list_guilds(request: web.Request) -> web.Response:
    """Answer all guilds."""
    return answer({"items": [_brief(guild) for guild in request.app[DISCORD].world.guilds.values()]})


async def get_guild(request: web.Request) -> web.Response:
    """Answer one guild."""
    return answer(_brief(guild_of(request)))


async def create_guilds(request: web.Request) -> web.Response:
    """Make guilds; connected bots get GUILD_CREATE."""
    discord, body = request.app[DISCORD], await read_body(request, NewGuild)
    for name, value, most in (
        ("members", body.members, _MEMBERS_MAX),
        ("count", body.count, _GUILDS_MAX),
        ("channels", len(body.channels), limits.GUILD_CHANNELS_MAX),
        ("roles", len(body.roles), limits.GUILD_ROLES_MAX - 1),
    ):
        if not 0 <= value <= most:
            raise ControlError(422, f"invalid_{name}", f"{name} must lie between 0 and {most}.")
    if not body.name.strip():
        raise ControlError(422, "invalid_name", "name must not be empty.")
    bots = [find_application(discord, each).bot for each in body.applications]
    owner = person_of(discord, body.owner, discord.world.new_person("guild-owner", discord.clock()))
    people = [discord.world.new_person(f"member-{index + 1}", discord.clock()) for index in range(body.members)]
    made = [_create(discord, body, owner, bots, people) for _ in range(body.count)]
    return answer({"items": [_brief(guild) for guild in made]}, 201)


def _create(discord: LocalDiscord, body: NewGuild, owner: User, bots: list[User], people: list[User]) -> Guild:
    now = discord.clock()
    guild = discord.world.new_guild(body.name, owner, now)
    for name in body.channels:
        discord.world.new_channel(guild, name, ChannelType.GUILD_TEXT, now)
    for name in body.roles:
        discord.world.new_role(guild, name, 0, now)
    for person in people:
        discord.world.join(guild, person, now)
    for bot in bots:
        discord.world.join(guild, bot, now)
    changes.welcome_all(discord, guild)  # the guild is new to all of them: nobody learns of anybody's joining
    return guild


async def rename_guild(request: web.Request) -> web.Response:
    """Rename a guild."""
    guild = guild_of(request)
    guild.name = (await read_body(request, GuildChange)).name
    changes.guild_changed(request.app[DISCORD], guild)
    return answer(_brief(guild))


async def delete_guild(request: web.Request) -> web.Response:
    """Delete a guild."""
    guild = guild_of(request)
    changes.delete_guild(request.app[DISCORD], guild)
    return answer({"deleted": guild.id})


async def create_channel(request: web.Request) -> web.Response:
    """Make a channel."""
    discord, guild, body = request.app[DISCORD], guild_of(request), await read_body(request, ChannelBody)
    if not body.name or body.type not in _TYPES:
        message = f"A channel needs a name and one of the types {', '.join(_TYPES)}."
        raise ControlError(422, "invalid_channel", message)
    channel = changes.new_channel(discord, guild, body.name, _TYPES[body.type])
    _set(channel, guild, body)
    changes.channel_made(discord, channel)
    return answer(objects.channel(channel), 201)


def _set(channel: Channel, guild: Guild, body: ChannelBody) -> None:
    channel.name = body.name or channel.name
    channel.topic = body.topic if body.topic is not None else channel.topic
    channel.parent_id = body.parent_id or channel.parent_id
    if body.overwrites is not None:
        channel.overwrites = read_overwrites(body.overwrites, guild)


async def edit_channel(request: web.Request) -> web.Response:
    """Change a channel."""
    discord, body = request.app[DISCORD], await read_body(request, ChannelBody)
    channel = _guild_channel(request)
    _set(channel, discord.world.guilds[str(channel.guild_id)], body)
    changes.channel_changed(discord, channel)
    return answer(objects.channel(channel))


def _guild_channel(request: web.Request) -> Channel:
    channel = find_channel(request.app[DISCORD], request.match_info["channel_id"])
    if channel.guild_id is None:
        raise ControlError(422, "private_channel", "A private channel cannot be changed.")
    return channel


async def delete_channel(request: web.Request) -> web.Response:
    """Delete a channel."""
    channel = _guild_channel(request)
    changes.delete_channel(request.app[DISCORD], channel)
    return answer({"deleted": channel.id})


async def add_member(request: web.Request) -> web.Response:
    """Let a bot or a user join."""
    discord, guild, body = request.app[DISCORD], guild_of(request), await read_body(request, NewMember)
    _check_roles(guild, body.roles)
    if body.application_id is not None:
        user = find_application(discord, body.application_id).bot
    else:
        user = person_of(discord, body.user or Person(username="member"), guild.members[guild.owner_id].user)
    return answer(objects.member(changes.join(discord, guild, user, body.roles)), 201)


def _check_roles(guild: Guild, roles: list[str]) -> None:
    unknown = [each for each in roles if each not in guild.roles]
    if unknown:
        raise ControlError(
            422, "unknown_role", f"No role {unknown[0]} in guild {guild.id}; it has {list(guild.roles)}."
        )


async def edit_member(request: web.Request) -> web.Response:
    """Change a member's roles or nick."""
    guild, body = guild_of(request), await read_body(request, MemberChange)
    member = guild.members.get(request.match_info["user_id"])
    if member is None:
        raise ControlError(404, "unknown_member", "No such member of this guild.")
    _check_roles(guild, body.roles or [])
    member.roles = member.roles if body.roles is None else body.roles
    member.nick = member.nick if body.nick is None else body.nick
    changes.member_changed(request.app[DISCORD], guild, member)
    return answer(objects.member(member))


async def remove_member(request: web.Request) -> web.Response:
    """Remove a member; a bot loses the guild."""
    guild, user_id = guild_of(request), request.match_info["user_id"]
    if user_id not in guild.members or user_id == guild.owner_id:
        raise ControlError(404, "unknown_member", "No such member of this guild, or it is its owner.")
    changes.leave(request.app[DISCORD], guild, user_id)
    return answer({"removed": user_id})


async def create_role(request: web.Request) -> web.Response:
    """Make a role."""
    guild, body = guild_of(request), await read_body(request, RoleBody)
    _check_permissions(body.permissions)
    role = changes.new_role(request.app[DISCORD], guild, body.name or "role", body.permissions or 0)
    return answer(_role(role), 201)


def _check_permissions(granted: int | None) -> None:
    if granted is not None and not 0 <= granted <= permissions.ALL:
        raise ControlError(422, "invalid_permissions", f"permissions must lie between 0 and {permissions.ALL}.")


async def edit_role(request: web.Request) -> web.Response:
    """Change a role, also a bot's own or @everyone (whose id is the guild's)."""
    guild, body = guild_of(request), await read_body(request, RoleBody)
    role = _find_role(request, guild)
    _check_permissions(body.permissions)
    role.name = body.name or role.name
    role.permissions = role.permissions if body.permissions is None else body.permissions
    changes.role_changed(request.app[DISCORD], guild, role)
    return answer(_role(role))


def _find_role(request: web.Request, guild: Guild) -> Role:
    role = guild.roles.get(request.match_info["role_id"])
    if role is None:
        raise ControlError(404, "unknown_role", f"No such role; guild {guild.id} has {list(guild.roles)}.")
    return role


async def delete_role(request: web.Request) -> web.Response:
    """Delete a role."""
    guild = guild_of(request)
    role = _find_role(request, guild)
    if role is guild.everyone:
        raise ControlError(422, "invalid_role", "@everyone cannot be deleted.")
    changes.delete_role(request.app[DISCORD], guild, role)
    return answer({"deleted": role.id})


async def list_users(request: web.Request) -> web.Response:
    """Answer all users, or those called `username`; bots are among them."""
    name = request.query.get("username")
    users = request.app[DISCORD].world.users.values()
    return answer({"items": [user.as_json() for user in users if name in {None, user.username}]})


async def create_user(request: web.Request) -> web.Response:
    """Make a user."""
    discord, body = request.app[DISCORD], await read_body(request, NewUser)
    if not body.username.strip():
        raise ControlError(422, "invalid_name", "username must not be empty.")
    return answer(discord.world.new_person(body.username, discord.clock()).as_json(), 201)


async def advance_clock(request: web.Request) -> web.Response:
    """Move the sandbox's time ahead: sessions, interactions and messages grow old at once."""
    discord, body = request.app[DISCORD], await read_body(request, ClockChange)
    try:
        discord.clock.advance(body.advance_s)
    except ValueError as error:
        raise ControlError(422, "invalid_advance", str(error)) from None
    return answer({"now": objects.timestamp(discord.clock())})


_GUILDS = f"{PREFIX}/guilds"
_GUILD = f"{_GUILDS}/{{guild_id}}"
ROUTES = [
    web.get(_GUILDS, list_guilds),
    web.post(_GUILDS, create_guilds),
    web.get(_GUILD, get_guild),
    web.patch(_GUILD, rename_guild),
    web.delete(_GUILD, delete_guild),
    web.post(f"{_GUILD}/channels", create_channel),
    web.patch(f"{PREFIX}/channels/{{channel_id}}", edit_channel),
    web.delete(f"{PREFIX}/channels/{{channel_id}}", delete_channel),
    web.post(f"{_GUILD}/members", add_member),
    web.patch(f"{_GUILD}/members/{{user_id}}", edit_member),
    web.delete(f"{_GUILD}/members/{{user_id}}", remove_member),
    web.post(f"{_GUILD}/roles", create_role),
    web.patch(f"{_GUILD}/roles/{{role_id}}", edit_role),
    web.delete(f"{_GUILD}/roles/{{role_id}}", delete_role),
    web.get(f"{PREFIX}/users", list_users),
    web.post(f"{PREFIX}/users", create_user),
    web.post(f"{PREFIX}/clock", advance_clock),
]
