"""To whom an event goes: the guild's applications, the shard's sessions, their intents, what the bot may view."""

from collections.abc import Callable, Iterable

import msgspec

from sandbox.gateway.intents import MESSAGE_CONTENT
from sandbox.gateway.session import Session, Sessions
from sandbox.messages.messages import without_content
from sandbox.world import objects
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, Guild
from sandbox.world.objects import Json
from sandbox.world.world import World

_encode = msgspec.json.Encoder().encode
_UNGATED = "READY"  # an event that no intent gates


class Router:
    """Sends events. An event is encoded once, however many sessions it reaches."""

    def __init__(
        self, world: World, sessions: Sessions, clock: Callable[[], float], seen_by: Callable[[Json, str], Json]
    ) -> None:
        """seen_by: a message as a user sees it, with the reactions to it."""
        self._world = world
        self._seen_by = seen_by
        self._sessions = sessions
        self._clock = clock

    def to_application(self, application_id: str, name: str, event: Json, guild_id: str | None) -> int:
        """Send an event that concerns one application; return how many sessions, connected or resumable, it reached."""
        body = _encode(event)
        reached = 0
        for session in self.sessions_for(application_id, name, guild_id):
            session.dispatch_encoded(name, body)
            reached += 1
        return reached

    def to_guild(
        self,
        guild: Guild,
        name: str,
        event: Json,
        channel: Channel | None = None,
        but: Iterable[str] = (),
        about: str = "",
    ) -> None:
        """Send an event of a guild, or of one of its channels, to the bots that may know of it.

        but: applications that are left out. about: one that gets the event whatever its intents.
        """
        body = _encode(event)
        for application in self._applications(guild, channel):
            if application.id not in but:
                gate = _UNGATED if application.id == about else name
                for session in self.sessions_for(application.id, gate, guild.id):
                    session.dispatch_encoded(name, body)

    def message(self, name: str, channel: Channel, message: Json) -> None:
        """Send MESSAGE_CREATE or MESSAGE_UPDATE, with the content only for those who may read it."""
        guild = None if channel.guild_id is None else self._world.guilds[channel.guild_id]
        event = message | {"channel_type": int(channel.kind)}  # documented: Gateway Events, Message Create
        if guild is not None:
            event["guild_id"] = guild.id
            author = guild.members.get(message["author"]["id"])
            if author is not None and "webhook_id" not in message:
                member = objects.member(author)
                del member["user"]
                event["member"] = member
        full, bare = _encode(event), None
        for application in self._applications(guild, channel):
            seen = self._seen_by(event, application.id)
            if seen is not event:  # with reactions it looks different to each
                full, bare = _encode(seen), None
                event = seen
            readable = guild is None or _concerns(application, message)
            for session in self.sessions_for(application.id, name, channel.guild_id):
                if readable or session.intents & MESSAGE_CONTENT:
                    session.dispatch_encoded(name, full)
                else:
                    bare = bare or _encode(without_content(event))
                    session.dispatch_encoded(name, bare)

    def of_channel(self, channel: Channel, name: str, event: Json) -> None:
        """Send another event of a channel, private or a guild's."""
        if channel.guild_id is not None:
            guild = self._world.guilds[channel.guild_id]
            self.to_guild(guild, name, event | {"guild_id": guild.id}, channel)
            return
        for application in self._applications(None, channel):
            self.to_application(application.id, name, event, None)

    def _applications(self, guild: Guild | None, channel: Channel | None) -> list[Application]:
        people = () if channel is None else channel.recipients
        ids = [user.id for user in people] if guild is None else guild.bots
        found = [self._world.find(each) for each in ids]
        return [
            application
            for application in found
            if application is not None
            and (guild is None or channel is None or self._world.may_view(application, channel))
        ]

    def sessions_for(self, application_id: str, name: str, guild_id: str | None) -> list[Session]:
        """Return the sessions, connected or resumable, that get an event of this name and guild."""
        now = self._clock()
        return [
            session
            for session in self._sessions.of(application_id)
            if session.wants(name, guild_id) and self._sessions.get(session.id, now) is not None
        ]


def _concerns(application: Application, message: Json) -> bool:
    """Whether the content is shown without the intent: an own message, or one that mentions the bot (documented)."""
    mentioned = any(user["id"] == application.id for user in message["mentions"])
    return message["author"]["id"] == application.id or message.get("application_id") == application.id or mentioned
