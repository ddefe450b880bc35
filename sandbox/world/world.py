"""The applications this sandbox knows, each with its bot user, home guild, commands and ledger. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox import errors, limits
from sandbox.commands.book import CommandBook
from sandbox.errors import DiscordError
from sandbox.gateway.ledger import SessionStarts
from sandbox.tokens import Mint
from sandbox.world import objects
from sandbox.world.objects import Home, User

_NAME_MAX = 80  # ours


@dataclass(slots=True)
class Application:
    """One application and everything that hangs on it. `name` is None until it is registered by name."""

    id: str
    verify_key: str
    home: Home
    starts: SessionStarts
    name: str | None = None
    serial: int = 0
    privileged_refused: bool = False
    identifies: int = 0
    resumes: int = 0
    commands: CommandBook = field(default_factory=CommandBook)

    @property
    def bot(self) -> User:
        """The bot user; its id is the application's, as Discord does it for every newer application."""
        return User(self.id, self.name or f"app-{self.id}", bot=True)

    def as_json(self) -> objects.Json:
        """Return the application as its own bot sees it."""
        return objects.application(self.bot, self.home.owner, self.verify_key)


class World:
    """Applications by id, made on first sight: whatever is not stored is derived from the secret."""

    def __init__(self, mint: Mint, identify_interval_s: float = limits.IDENTIFY_INTERVAL_S) -> None:
        self._mint = mint
        self._identify_interval_s = identify_interval_s
        self._applications: dict[str, Application] = {}

    def __iter__(self) -> Iterator[Application]:
        return iter(self._applications.values())

    def register(self, name: str) -> Application:
        """Return the application called `name`, the same one each time.

        Raises ValueError if the name is empty or longer than 80 characters.
        """
        if not name.strip() or len(name) > _NAME_MAX:
            raise ValueError(f"name must have 1 to {_NAME_MAX} characters")
        application = self._meet(self._mint.derive_id("application", name))
        application.name = name
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
            application = Application(
                id=application_id,
                verify_key=self._mint.derive_hex("verify_key", application_id),
                home=Home(
                    guild_id=self._mint.derive_id("guild", application_id),
                    channel_id=self._mint.derive_id("channel", application_id),
                    owner=User(self._mint.derive_id("owner", application_id), "sandbox-owner"),
                ),
                starts=SessionStarts(interval_s=self._identify_interval_s),
            )
            self._applications[application_id] = application
        return application


def home_of_guild(application: Application, guild_id: str) -> Home:
    """Return the application's home if `guild_id` is its guild; raise DiscordError 10004 otherwise."""
    if guild_id != application.home.guild_id:
        raise DiscordError(errors.UNKNOWN_GUILD)
    return application.home


def home_of_channel(application: Application, channel_id: str) -> Home:
    """Return the application's home if `channel_id` is its channel; raise DiscordError 10003 otherwise."""
    if channel_id != application.home.channel_id:
        raise DiscordError(errors.UNKNOWN_CHANNEL)
    return application.home
