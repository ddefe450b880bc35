"""The whole of one local Discord: applications, sessions, messages, interactions, and the clock they share."""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import limits
from sandbox.gateway import codes
from sandbox.gateway.session import GUILD_MESSAGES, Sessions
from sandbox.interactions import invocation
from sandbox.interactions.interactions import Interaction, Interactions
from sandbox.messages.messages import Channels
from sandbox.rest.ratelimit import RateLimiter
from sandbox.snowflakes import Sequence
from sandbox.tokens import Mint
from sandbox.world import objects
from sandbox.world.objects import Json, User
from sandbox.world.world import Application, World

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Rules:
    """What of Discord's behaviour can be set when the sandbox starts."""

    resume_window_s: float = limits.RESUME_WINDOW_S
    identify_interval_s: float = limits.IDENTIFY_INTERVAL_S
    heartbeat_interval_ms: int = limits.HEARTBEAT_INTERVAL_MS


class LocalDiscord:
    """State shared by REST, gateway and control. `clock` gives Unix seconds and never goes back."""

    def __init__(self, mint: Mint, clock: Clock, rules: Rules) -> None:
        self.clock = clock
        self.rules = rules
        self.ids = Sequence()
        self.world = World(mint, rules.identify_interval_s)
        self.sessions = Sessions(rules.resume_window_s)
        self.interactions = Interactions(self.ids, lambda: secrets.token_urlsafe(96))
        self.channels = Channels(self.ids)
        self.rate_limiter = RateLimiter()
        self.unknown: deque[Json] = deque(maxlen=limits.UNKNOWN_KEPT)

    def dispatch(self, application: Application, name: str, event: Json, intent: int = 0) -> int:
        """Send a guild event to the sessions it concerns; return how many, connected or resumable."""
        now = self.clock()
        reached = 0
        for session in self.sessions.of(application.id):
            live = self.sessions.get(session.id, now) is not None
            if live and session.receives(application.home.guild_id, intent):
                session.dispatch(name, event)
                reached += 1
        return reached

    def message_changed(self, application: Application, name: str, message: Json) -> None:
        """Send MESSAGE_CREATE or MESSAGE_UPDATE, as a guild message carries it."""
        author = objects.member(application.bot)
        del author["user"]
        event = message | {"guild_id": application.home.guild_id, "member": author}
        self.dispatch(application, name, event, GUILD_MESSAGES)

    def invoke(self, application: Application, command: str, options: Json, user: User) -> tuple[Interaction, int]:
        """Let `user` use a slash command; return the interaction and how many sessions it was sent to.

        command: its name, then its sub-command's, separated by spaces.
        Raises InvocationError if it is not registered like this.
        """
        name, *path = command.split() or [""]
        registered = application.commands.named(name)
        if registered is None:
            names = ", ".join(application.commands.slash_names()) or "none"
            raise invocation.InvocationError(f"no slash command {name!r} is registered; registered: {names}")
        home = application.home
        invoked = invocation.command_data(registered, path, options, home)
        where = (home.guild_id, home.channel_id)
        now = self.clock()
        interaction = self.interactions.open(application.id, application.bot, user, where, command, now)
        event = invocation.event(application.id, interaction.id, interaction.token, home, user, invoked)
        return interaction, self.dispatch(application, "INTERACTION_CREATE", event)

    def revoke(self, application: Application) -> str:
        """Reset the token and end every session with 4004, as Discord does past the session start limit.

        Return the new token.
        """
        token = self.world.reset_token(application)
        for session in self.sessions.of(application.id):
            if session.client is not None:
                session.client.close(codes.AUTHENTICATION_FAILED)
            self.sessions.end(session)
        return token

    def prune(self) -> None:
        """Forget what has expired: sessions, interactions, nonces, rate-limit windows."""
        now = self.clock()
        self.sessions.prune(now)
        self.interactions.prune(now)
        self.channels.prune(now)
        self.rate_limiter.prune(now)
