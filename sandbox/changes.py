"""Changes of guilds, channels, roles and members, each with the events that tell of them."""

from sandbox.gateway.welcome import joined
from sandbox.local_discord import LocalDiscord
from sandbox.world import objects
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, ChannelType, Guild, Member, Role
from sandbox.world.users import User


def welcome_all(discord: LocalDiscord, guild: Guild) -> None:
    """Send GUILD_CREATE to every bot of a new guild."""
    for bot_id in guild.bots:
        application = discord.world.find(bot_id)
        if application is not None and discord.sessions.of(bot_id):
            welcome(discord, application, guild)


def welcome(discord: LocalDiscord, application: Application, guild: Guild) -> None:
    """Send GUILD_CREATE to a bot that joined while it was connected."""
    for session in discord.router.sessions_for(application.id, "GUILD_CREATE", guild.id):
        joined(session, guild)


def join(discord: LocalDiscord, guild: Guild, user: User, roles: list[str]) -> Member:
    """Make a user a member; a bot learns of its new guild, the others of the new member."""
    member = discord.world.join(guild, user, discord.clock(), roles)
    application = discord.world.find(user.id)
    event = objects.member(member) | {"guild_id": guild.id}
    discord.router.to_guild(guild, "GUILD_MEMBER_ADD", event, but=(user.id,))
    if application is not None:
        role = guild.role_of_bot(user.id)
        if role is not None:
            shown = {"guild_id": guild.id, "role": objects.role(role)}
            discord.router.to_guild(guild, "GUILD_ROLE_CREATE", shown, but=(user.id,))
        welcome(discord, application, guild)
    return member


def leave(discord: LocalDiscord, guild: Guild, user_id: str) -> None:
    """End a membership: the others learn of it, a bot loses the guild. Nothing happens if there is none."""
    application = discord.world.find(user_id)
    member = discord.world.leave(guild, user_id)
    if member is None:
        return
    event = {"guild_id": guild.id, "user": member.user.as_json()}
    discord.router.to_guild(guild, "GUILD_MEMBER_REMOVE", event)
    if application is not None:
        discord.router.to_application(application.id, "GUILD_DELETE", {"id": guild.id}, guild.id)


def member_changed(discord: LocalDiscord, guild: Guild, member: Member) -> None:
    """Tell of a member's new roles, nick or timeout. A bot learns of its own without the intent, as documented."""
    event = objects.member(member) | {"guild_id": guild.id}
    discord.router.to_guild(guild, "GUILD_MEMBER_UPDATE", event, about=member.user.id)


def ban(discord: LocalDiscord, guild: Guild, user: User, reason: str | None) -> None:
    """Ban a user, who leaves if he is a member."""
    guild.banned[user.id] = (user, reason)
    leave(discord, guild, user.id)
    discord.router.to_guild(guild, "GUILD_BAN_ADD", {"guild_id": guild.id, "user": user.as_json()})


def unban(discord: LocalDiscord, guild: Guild, user: User) -> None:
    """Lift a ban."""
    del guild.banned[user.id]
    discord.router.to_guild(guild, "GUILD_BAN_REMOVE", {"guild_id": guild.id, "user": user.as_json()})


def guild_changed(discord: LocalDiscord, guild: Guild) -> None:
    """Tell of a guild's new name or owner."""
    discord.router.to_guild(guild, "GUILD_UPDATE", objects.guild(guild) | {"guild_id": guild.id})


def delete_guild(discord: LocalDiscord, guild: Guild) -> None:
    """Delete a guild: every bot in it loses it."""
    for bot_id in list(guild.bots):
        discord.router.to_application(bot_id, "GUILD_DELETE", {"id": guild.id}, guild.id)
    for channel_id in guild.channels:
        discord.messages.drop_channel(channel_id)
        discord.webhooks.drop_channel(channel_id)
    for application in discord.world:
        application.commands.drop_guild(guild.id)
    discord.world.drop_guild(guild)


def new_channel(discord: LocalDiscord, guild: Guild, name: str, kind: ChannelType) -> Channel:
    """Make a channel; tell of it with `channel_made` once it is as it shall be."""
    return discord.world.new_channel(guild, name, kind, discord.clock())


def channel_made(discord: LocalDiscord, channel: Channel) -> None:
    """Tell of a new channel."""
    discord.router.of_channel(channel, "CHANNEL_CREATE", objects.channel(channel))


def channel_changed(discord: LocalDiscord, channel: Channel) -> None:
    """Tell of a channel's new name, topic, place or overwrites."""
    discord.router.of_channel(channel, "CHANNEL_UPDATE", objects.channel(channel))


def delete_channel(discord: LocalDiscord, channel: Channel) -> None:
    """Delete a guild's channel with its messages and webhooks."""
    discord.router.of_channel(channel, "CHANNEL_DELETE", objects.channel(channel))
    discord.world.drop_channel(channel)
    discord.messages.drop_channel(channel.id)
    discord.webhooks.drop_channel(channel.id)


def new_role(discord: LocalDiscord, guild: Guild, name: str, granted: int, more: objects.Json | None = None) -> Role:
    """Make a role and tell of it. more: its colour and whether it is hoisted and mentionable."""
    role = discord.world.new_role(guild, name, granted, discord.clock())
    for key, value in (more or {}).items():
        setattr(role, key, value)
    discord.router.to_guild(guild, "GUILD_ROLE_CREATE", {"guild_id": guild.id, "role": objects.role(role)})
    return role


def role_changed(discord: LocalDiscord, guild: Guild, role: Role) -> None:
    """Tell of a role's new name, colour or permissions."""
    discord.router.to_guild(guild, "GUILD_ROLE_UPDATE", {"guild_id": guild.id, "role": objects.role(role)})


def delete_role(discord: LocalDiscord, guild: Guild, role: Role) -> None:
    """Delete a role, also from those who have it."""
    del guild.roles[role.id]
    for member in guild.members.values():
        if role.id in member.roles:
            member.roles.remove(role.id)
    for channel in guild.channels.values():
        channel.overwrites.pop(role.id, None)
    discord.router.to_guild(guild, "GUILD_ROLE_DELETE", {"guild_id": guild.id, "role_id": role.id})
