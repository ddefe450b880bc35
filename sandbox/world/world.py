"""The world all bots share: applications, users, guilds, channels, and who is where. Pure."""

from collections.abc import Iterable, Iterator

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.gateway.ledger import SessionStarts
from sandbox.snowflakes import Sequence, shard_of
from sandbox.tokens import Mint
from sandbox.world import permissions
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, ChannelType, Guild, Member, Role
from sandbox.world.users import User

_NAME_MAX = 80  # ours
_VIEW_CHANNEL = int(permissions.Permission.VIEW_CHANNEL)
_HOME_SINCE = 1_704_067_200.0  # 2024-01-01: home guilds are as old as the ids derived for them may be


class WorldFullError(Exception):
    """No more of its kind fits into the world; the message says of what and how many there are."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"the sandbox holds at most {most} {what}")


class World:
    """Applications are made on first sight: whatever is not stored is derived from the mint's secret.

    Methods that make something take `now`, in Unix seconds.
    """

    def __init__(self, mint: Mint, ids: Sequence, identify_interval_s: float = limits.IDENTIFY_INTERVAL_S) -> None:
        self._mint = mint
        self._ids = ids
        self._identify_interval_s = identify_interval_s
        self._applications: dict[str, Application] = {}
        self._memberships: dict[str, dict[str, Guild]] = {}
        self._dms: dict[tuple[str, str], Channel] = {}
        self._memberships_total = 0
        self.users: dict[str, User] = {}
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Application]:
        return iter(self._applications.values())

    def private_channels(self) -> list[Channel]:
        """Return all private channels, the one opened first first."""
        return list(self._dms.values())

    def restore(
        self,
        applications: Iterable[Application],
        users: Iterable[User],
        guilds: Iterable[Guild],
        private_channels: Iterable[Channel],
    ) -> None:
        """Take over what was there, in place of a world in which nothing is yet."""
        self.users = {user.id: user for user in users}
        for application in applications:
            application.starts.interval_s = self._identify_interval_s
            self._applications[application.id] = application
        for guild in guilds:
            self.guilds[guild.id] = guild
            self.channels |= guild.channels
            for user_id, member in guild.members.items():
                member.user = self.users.get(user_id, member.user)
                self._memberships.setdefault(user_id, {})[guild.id] = guild
            self._memberships_total += len(guild.members)
        for channel in private_channels:
            bot, person = channel.recipients
            self._dms[bot.id, person.id] = self.channels[channel.id] = channel

    # Applications

    def register(self, name: str) -> Application:
        """Return the application called `name`, the same one each time.

        Raises ValueError if the name is empty or longer than 80 characters.
        """
        if not name.strip() or len(name) > _NAME_MAX:
            raise ValueError(f"name must have 1 to {_NAME_MAX} characters")
        application = self._meet(self._mint.derive_id("application", name))
        if application.name is None:
            application.name = name
            self.rename(application, User(application.id, name, bot=True))
        return application

    def find(self, application_id: str) -> Application | None:
        """Return an application seen before."""
        return self._applications.get(application_id)

    def token_of(self, application: Application) -> str:
        """Return the application's present token."""
        return self._mint.issue(application.id, application.serial)

    def reset_token(self, application: Application) -> str:
        """Invalidate the application's token, open a new window of session starts, and return the new token."""
        application.serial += 1
        application.starts.renew()
        return self.token_of(application)

    def authenticate(self, token: str) -> Application | None:
        """Return the application a token belongs to, or None for a token that is not (or no longer) valid.

        An application not seen since the sandbox started is made; a serial above the known one is taken over, so a
        reset outlives a restart as soon as the new token is used.
        """
        claim = self._mint.verify(token)
        if claim is None:
            return None
        application = self._meet(claim.application_id)
        application.serial = max(application.serial, claim.serial)
        return application if claim.serial == application.serial else None

    def _meet(self, application_id: str) -> Application:
        application = self._applications.get(application_id)
        if application is None:
            self._check_room()
            derive = self._mint.derive_id
            application = Application(
                id=application_id,
                verify_key=self._mint.derive_hex("verify_key", application_id),
                bot=User(application_id, f"app-{application_id}", bot=True),
                owner=User(derive("owner", application_id), "sandbox-owner"),
                home_guild_id=derive("guild", application_id),
                home_channel_id=derive("channel", application_id),
                starts=SessionStarts(interval_s=self._identify_interval_s),
            )
            self._applications[application_id] = application
            self.users[application.bot.id] = application.bot
            self._furnish_home(application)
        return application

    def _check_room(self) -> None:
        """Raise WorldFullError unless an application fits in, with its home, its owner and its bot."""
        for what, there, most in (
            ("applications", len(self._applications), limits.APPLICATIONS_MAX),
            ("users", len(self.users) + 1, limits.USERS_MAX),
            ("guilds", len(self.guilds), limits.GUILDS_MAX),
            ("channels", len(self.channels), limits.CHANNELS_MAX),
            ("memberships", self._memberships_total + 1, limits.MEMBERSHIPS_MAX),
        ):
            if there >= most:
                raise WorldFullError(what, most)

    def _furnish_home(self, application: Application) -> None:
        guild = self._add_guild(application.home_guild_id, "Sandbox", application.owner, _HOME_SINCE)
        self._add_channel(guild, Channel(application.home_channel_id, ChannelType.GUILD_TEXT, "general"))
        self.join(guild, application.bot, _HOME_SINCE, role_id=self._mint.derive_id("role", application.id))

    def rename(self, application: Application, bot: User) -> None:
        """Give the bot another user object: its name has changed."""
        application.bot = self.users[application.id] = bot
        for guild in self.guilds_of(application.id):
            guild.members[application.id].user = bot
            role = guild.role_of_bot(application.id)
            if role is not None:
                role.name = bot.username

    # Users and private channels

    def person(self, user_id: str, username: str | None = None) -> User:
        """Return the user with this id, made if there is none; a name given for a known one is not taken over."""
        user = self.users.get(user_id)
        if user is None:
            if len(self.users) >= limits.USERS_MAX:
                raise WorldFullError("users", limits.USERS_MAX)
            user = self.users[user_id] = User(user_id, username or f"user-{user_id}")
        return user

    def new_person(self, username: str, now: float) -> User:
        """Make a user."""
        return self.person(self._ids.next(now), username)

    def dm(self, application: Application, person: User) -> Channel:
        """Return the private channel of a bot and a person, opened if need be."""
        key = (application.id, person.id)
        channel = self._dms.get(key)
        if channel is None:
            channel_id = self._mint.derive_id("dm", application.id, person.id)
            channel = Channel(channel_id, ChannelType.DM, recipients=(application.bot, person))
            if len(self._dms) >= limits.PRIVATE_CHANNELS_KEPT:
                self.drop_channel(self._dms[next(iter(self._dms))])
            self._dms[key] = self.channels[channel_id] = channel
        return channel

    # Guilds

    def new_guild(self, name: str, owner: User, now: float) -> Guild:
        """Make a guild with its owner as the only member, and no channel."""
        return self._add_guild(self._ids.next(now), name, owner, now)

    def _add_guild(self, guild_id: str, name: str, owner: User, now: float) -> Guild:
        if len(self.guilds) >= limits.GUILDS_MAX:
            raise WorldFullError("guilds", limits.GUILDS_MAX)
        everyone = Role(guild_id, "@everyone", permissions.EVERYONE, position=0)
        guild = self.guilds[guild_id] = Guild(guild_id, name, owner.id, {guild_id: everyone})
        self.users.setdefault(owner.id, owner)
        self.join(guild, owner, now)
        return guild

    def drop_guild(self, guild: Guild) -> None:
        """Delete a guild with its channels."""
        for channel_id in list(guild.channels):
            self.drop_channel(guild.channels[channel_id])
        for user_id in list(guild.members):
            self._memberships[user_id].pop(guild.id)
            self._memberships_total -= 1
            if not self._memberships[user_id]:
                del self._memberships[user_id]
        del self.guilds[guild.id]

    def new_channel(self, guild: Guild, name: str, kind: ChannelType, now: float) -> Channel:
        """Make a channel at the end of the guild's list; raise DiscordError 30013 if there are too many."""
        if len(guild.channels) >= limits.GUILD_CHANNELS_MAX:
            raise DiscordError(errors.TOO_MANY_CHANNELS)
        return self._add_channel(guild, Channel(self._ids.next(now), kind, name, position=len(guild.channels)))

    def _add_channel(self, guild: Guild, channel: Channel) -> Channel:
        if len(self.channels) >= limits.CHANNELS_MAX:
            raise WorldFullError("channels", limits.CHANNELS_MAX)
        channel.guild_id = guild.id
        guild.channels[channel.id] = self.channels[channel.id] = channel
        return channel

    def drop_channel(self, channel: Channel) -> None:
        """Delete a guild's channel, or forget a private one, which opens again under the same id."""
        del self.channels[channel.id]
        if channel.guild_id is None:
            bot, person = channel.recipients
            del self._dms[bot.id, person.id]
        if channel.guild_id is not None:
            self.guilds[channel.guild_id].channels.pop(channel.id)

    def new_role(self, guild: Guild, name: str, granted: int, now: float) -> Role:
        """Make a role above @everyone and below all others, as Discord does it.

        Raises DiscordError 30005 if there are too many.
        """
        if len(guild.roles) >= limits.GUILD_ROLES_MAX:
            raise DiscordError(errors.TOO_MANY_ROLES)
        for role in guild.roles.values():
            role.position += role.position > 0
        role = Role(self._ids.next(now), name, granted)
        guild.roles[role.id] = role
        return role

    def join(
        self, guild: Guild, user: User, now: float, roles: Iterable[str] = (), *, role_id: str | None = None
    ) -> Member:
        """Make a user a member. A bot brings a role of its own, with every permission but ADMINISTRATOR.

        role_id: the id of a bot's role; a new one if absent.
        """
        if user.id in guild.members:
            return guild.members[user.id]
        if self._memberships_total >= limits.MEMBERSHIPS_MAX:
            raise WorldFullError("memberships", limits.MEMBERSHIPS_MAX)
        self._memberships_total += 1
        member = guild.members[user.id] = Member(user, now, list(roles))
        self._memberships.setdefault(user.id, {})[guild.id] = guild
        if user.id in self._applications:
            guild.bots.append(user.id)
            role_id = role_id or self._ids.next(now)
            granted = permissions.EVERYTHING_BUT_ADMINISTRATOR
            guild.roles[role_id] = Role(role_id, user.username, granted, len(guild.roles), bot_id=user.id)
            member.roles.append(role_id)
        return member

    def leave(self, guild: Guild, user_id: str) -> Member | None:
        """End a membership and return it; a bot takes its role along. None if there was none."""
        member = guild.members.pop(user_id, None)
        if member is not None:
            self._memberships_total -= 1
            del self._memberships[user_id][guild.id]
            if not self._memberships[user_id]:
                del self._memberships[user_id]
        if user_id in guild.bots:
            guild.bots.remove(user_id)
            role = guild.role_of_bot(user_id)
            if role is not None:
                del guild.roles[role.id]
        return member

    def guilds_of(self, user_id: str) -> list[Guild]:
        """Return the guilds of a user, in the order of joining."""
        return list(self._memberships.get(user_id, {}).values())

    def guilds_on_shard(self, application: Application, shard: tuple[int, int]) -> int:
        """Return how many of the application's guilds a shard (shard_id, num_shards) serves."""
        shard_id, num_shards = shard
        return sum(shard_of(int(guild.id), num_shards) == shard_id for guild in self.guilds_of(application.id))

    # What an application may reach

    def guild_for(self, application: Application, guild_id: str) -> Guild:
        """Return a guild the bot is in; raise DiscordError 10004 if there is none, 50001 if the bot is not in it."""
        guild = self.guilds.get(guild_id)
        if guild is None:
            raise DiscordError(errors.UNKNOWN_GUILD)
        if application.id not in guild.members:
            raise DiscordError(errors.MISSING_ACCESS)
        return guild

    def channel_for(self, application: Application, channel_id: str) -> Channel:
        """Return a channel the bot may view; raise DiscordError 10003 if there is none, 50001 if it may not."""
        channel = self.channels.get(channel_id)
        if channel is None:
            raise DiscordError(errors.UNKNOWN_CHANNEL)
        if not self.may_view(application, channel):
            raise DiscordError(errors.MISSING_ACCESS)
        return channel

    def may_view(self, application: Application, channel: Channel) -> bool:
        """Return whether the bot sees a channel."""
        return bool(self.permissions_in(channel, application.id) & _VIEW_CHANNEL)

    def permissions_in(self, channel: Channel, user_id: str) -> int:
        """Return what a user may do in a channel; in a private one, everything for its two people."""
        if channel.guild_id is None:
            return permissions.ALL if any(user.id == user_id for user in channel.recipients) else 0
        return permissions.in_channel(self.guilds[channel.guild_id], channel, user_id)

    def require(self, application: Application, channel: Channel, *needed: permissions.Permission) -> None:
        """Raise DiscordError 50013 unless the bot has every permission in the channel."""
        granted = self.permissions_in(channel, application.id)
        if any(not granted & each for each in needed):
            raise DiscordError(errors.MISSING_PERMISSIONS)
