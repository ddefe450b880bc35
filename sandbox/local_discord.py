"""The whole of one local Discord: the world, sessions, messages, interactions, and the clock they share."""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import limits
from sandbox.failures import Failures
from sandbox.gateway import codes
from sandbox.gateway.session import Sessions
from sandbox.interactions.interactions import Interactions
from sandbox.messages.attachments import Attachment, Files, Upload
from sandbox.messages.store import MessageStore
from sandbox.messages.webhooks import Webhooks
from sandbox.oauth2.authority import Authority
from sandbox.rest.addresses import Addresses
from sandbox.rest.credentials import Credentials
from sandbox.rest.ratelimit import RateLimiter
from sandbox.routing import Router
from sandbox.snowflakes import Sequence
from sandbox.tokens import Mint
from sandbox.world.applications import Application
from sandbox.world.objects import Json
from sandbox.world.world import World


class Clock:
    """Unix seconds that never go back, and that a test can move ahead."""

    def __init__(self, source: Callable[[], float]) -> None:
        self._source = source
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self._source() + self._ahead_s

    @property
    def ahead_s(self) -> float:
        """How far it was moved ahead."""
        return self._ahead_s

    def advance(self, seconds: float) -> None:
        """Move ahead, as if `seconds` had passed at once. Raises ValueError if they are negative or lead too far."""
        if seconds < 0:
            raise ValueError("the clock never goes back")
        if self._ahead_s + seconds > limits.FAR_AHEAD_S:
            raise ValueError(f"the clock can be moved ahead by {limits.FAR_AHEAD_S:.0f} s at most")
        self._ahead_s += seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """What of Discord's behaviour can be set when the sandbox starts."""

    resume_window_s: float = limits.RESUME_WINDOW_S
    identify_interval_s: float = limits.IDENTIFY_INTERVAL_S
    heartbeat_interval_ms: int = limits.HEARTBEAT_INTERVAL_MS
    initial_response_s: float = limits.INITIAL_RESPONSE_S


class LocalDiscord:
    """State shared by REST, gateway and control. `clock` gives Unix seconds and never goes back.

    `url` is where it is served, without a slash at the end; links to attachments and webhooks begin with it.
    `changes` grows whenever something may have changed that Discord would keep. `control_key` opens the control API.
    """

    def __init__(self, mint: Mint, clock: Callable[[], float], rules: Rules) -> None:
        self.clock = Clock(clock)
        self.rules = rules
        self.url = "http://127.0.0.1"
        self.changes = 0
        self.control_key = mint.control_key()
        self.ids = Sequence()
        self.mint_token: Callable[[], str] = lambda: secrets.token_urlsafe(48)
        self.world = World(mint, self.ids, rules.identify_interval_s)
        self.sessions = Sessions(rules.resume_window_s, rules.heartbeat_interval_ms / 1000)
        self.messages = MessageStore()
        self.router = Router(self.world, self.sessions, self.clock, self.messages.seen_by)
        self.files = Files(self.ids)
        self.webhooks = Webhooks()
        self.interactions = Interactions(
            self.ids,
            lambda: secrets.token_urlsafe(96),
            self.messages,
            self.attach,
            self.world.users,
            rules.initial_response_s,
        )
        self.rate_limiter = RateLimiter()
        self.addresses = Addresses()
        self.credentials = Credentials(self.world)
        self.oauth2 = Authority(mint, lambda: secrets.token_urlsafe(24))
        self.failures = Failures()
        self.unknown: deque[Json] = deque(maxlen=limits.UNKNOWN_KEPT)

    def attach(self, uploads: list[Upload], body: Json, channel_id: str, now: float) -> list[Attachment]:
        """Keep the files of a checked request; return their attachment objects."""
        return self.files.keep(uploads, body.get("attachments"), channel_id, self.url, now)

    def revoke(self, application: Application) -> str:
        """Reset the token and end every session with 4004, as Discord does past the session start limit.

        Return the new token.
        """
        token = self.world.reset_token(application)
        self.changes += 1
        for session in self.sessions.of(application.id):
            if session.client is not None:
                session.client.close(codes.AUTHENTICATION_FAILED)
            self.sessions.end(session)
        return token

    def prune(self) -> None:
        """Forget what has expired: sessions, interactions, nonces, rate-limit windows, tokens."""
        now = self.clock()
        self.sessions.prune(now)
        self.interactions.prune(now)
        self.messages.prune(now)
        self.rate_limiter.prune(now)
        self.addresses.prune(now)
        self.oauth2.grants.prune(now)
