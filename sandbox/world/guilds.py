"""Guilds with their roles, channels and members, and private channels. Pure: what exists, not how it looks."""

from dataclasses import dataclass, field
from enum import IntEnum

from sandbox.world.users import User


class ChannelType(IntEnum):
    """The kinds of channel that the sandbox has (documented: Resources, Channel)."""

    GUILD_TEXT = 0
    DM = 1
    GUILD_VOICE = 2
    GUILD_CATEGORY = 4
    GUILD_ANNOUNCEMENT = 5


HOLDS_MESSAGES = frozenset(
    {
        ChannelType.GUILD_TEXT,
        ChannelType.DM,
        ChannelType.GUILD_VOICE,
        ChannelType.GUILD_ANNOUNCEMENT,
    }
)
ROLE_OVERWRITE, MEMBER_OVERWRITE = 0, 1


@dataclass(slots=True)
class Role:
    """A role; the one whose id is the guild's is @everyone. `bot_id` marks the role that came with a bot."""

    id: str
    name: str
    permissions: int
    position: int = 1
    color: int = 0
    hoist: bool = False
    mentionable: bool = False
    bot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Overwrite:
    """What a channel allows and denies one role or one member."""

    id: str
    kind: int
    allow: int
    deny: int


@dataclass(slots=True)
class Channel:
    """A channel of a guild, or a private one between the two `recipients`: a bot's user and a person."""

    id: str
    kind: ChannelType
    name: str = ""
    guild_id: str | None = None
    topic: str | None = None
    position: int = 0
    parent_id: str | None = None
    nsfw: bool = False
    rate_limit_per_user: int = 0
    overwrites: dict[str, Overwrite] = field(default_factory=dict)
    recipients: tuple[User, ...] = ()
    last_message_id: str | None = None
    last_pin_at: float | None = None


@dataclass(slots=True)
class Member:
    """A user's membership. `joined_at` is in Unix seconds, `timeout_until` ISO 8601 as the client gave it."""

    user: User
    joined_at: float
    roles: list[str] = field(default_factory=list)
    nick: str | None = None
    timeout_until: str | None = None


@dataclass(slots=True)
class Guild:
    """A guild. Members are keyed by user id; `bots` are the ids of the applications among them."""

    id: str
    name: str
    owner_id: str
    roles: dict[str, Role]
    channels: dict[str, Channel] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    bots: list[str] = field(default_factory=list)
    banned: dict[str, tuple[User, str | None]] = field(default_factory=dict)

    @property
    def everyone(self) -> Role:
        """The @everyone role."""
        return self.roles[self.id]

    @property
    def system_channel_id(self) -> str | None:
        """The first text channel, where Discord would greet new members."""
        return next((c.id for c in self.channels.values() if c.kind is ChannelType.GUILD_TEXT), None)

    def role_of_bot(self, bot_id: str) -> Role | None:
        """Return the managed role that came with a bot."""
        return next((role for role in self.roles.values() if role.bot_id == bot_id), None)

    def top_position(self, user_id: str) -> int:
        """Return the position of a member's highest role."""
        held = self.members[user_id].roles
        return max((self.roles[role_id].position for role_id in held if role_id in self.roles), default=0)
