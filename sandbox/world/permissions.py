"""Permissions: the bits, and what a member may do in a guild and a channel (documented: Topics, Permissions). Pure."""

from enum import IntFlag
from typing import Final

from sandbox.world.guilds import Channel, Guild


class Permission(IntFlag):
    """The bits that the sandbox judges; a set may hold others."""

    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    MODERATE_MEMBERS = 1 << 40
    PIN_MESSAGES = 1 << 51


# Plain numbers where permissions are worked out: an IntFlag's operators cost a microsecond each.
_ADMINISTRATOR, _VIEW, _SEND = (
    int(each) for each in (Permission.ADMINISTRATOR, Permission.VIEW_CHANNEL, Permission.SEND_MESSAGES)
)
_NEEDS_SENDING = int(Permission.MENTION_EVERYONE | Permission.ATTACH_FILES | Permission.EMBED_LINKS)
ALL: Final = (1 << 53) - 1
DESCRIBED_MAX: Final = (1 << 54) - 1  # description: the most a set of permissions may hold
EVERYTHING_BUT_ADMINISTRATOR: Final = ALL & ~Permission.ADMINISTRATOR
# Ours: what @everyone may do in a new guild. Discord documents no default; this is the usual set of a text server.
EVERYONE: Final = int(
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.CHANGE_NICKNAME
    | Permission.USE_APPLICATION_COMMANDS
)


def in_guild(guild: Guild, user_id: str) -> int:
    """Return the permissions of a member in the guild; 0 for someone who is not in it."""
    member = guild.members.get(user_id)
    if member is None:
        return 0
    if guild.owner_id == user_id:
        return ALL
    granted = guild.everyone.permissions
    for role_id in member.roles:
        if role_id in guild.roles:
            granted |= guild.roles[role_id].permissions
    return ALL if granted & _ADMINISTRATOR else granted


def in_channel(guild: Guild, channel: Channel, user_id: str) -> int:
    """Return the permissions of a member in a channel of the guild, after the channel's overwrites.

    Without VIEW_CHANNEL nothing is left, and without SEND_MESSAGES no permission that needs it, as documented.
    """
    granted = in_guild(guild, user_id)
    if granted == ALL or not channel.overwrites:
        return _implied(granted)
    for allow, deny in _layers(guild, channel, user_id):
        granted = (granted & ~deny) | allow
    return _implied(granted)


def _layers(guild: Guild, channel: Channel, user_id: str) -> list[tuple[int, int]]:
    """Return (allow, deny) of @everyone, of the member's roles together, and of the member, in that order."""
    overwrites, roles = channel.overwrites, guild.members[user_id].roles
    mine = [overwrites[role_id] for role_id in roles if role_id in overwrites]
    allow = deny = 0
    for overwrite in mine:
        allow, deny = allow | overwrite.allow, deny | overwrite.deny
    layers = [(0, 0), (allow, deny), (0, 0)]
    for index, owner in ((0, guild.id), (2, user_id)):
        if owner in overwrites:
            layers[index] = (overwrites[owner].allow, overwrites[owner].deny)
    return layers


def _implied(granted: int) -> int:
    if not granted & _VIEW:
        return 0
    return granted if granted & _SEND else granted & ~_NEEDS_SENDING
