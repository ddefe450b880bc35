"""How a bot is to be: what operators set for it, and what the people of a guild set there. Pure.

What a bot is *held to* (memory, response, patience) is its policy (`domain/policy.py`); this is what it *is*.
"""

import enum
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

BUILT_IN: Final = {name: f"worker_bot.extensions.{name}" for name in ("core", "stock", "admin")}
"""Extensions that come with Flotilla, by the short names that operators use for them."""

DEFAULT_LOCALE: Final = "en-US"
MAX_CONFIG_BYTES: Final = 64 * 1024
"""Of one config as JSON: a bot's settings, not its data."""

ModuleName = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)]
AppName = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200)]
Snowflake = Annotated[str, Meta(pattern=r"^[0-9]{15,20}$")]
Locale = Annotated[str, Meta(pattern=r"^[a-z]{2}(-[A-Z0-9]{2,3})?$")]
"""Of Discord's locales (Reference, Locales), such as `en-US` or `id`."""


class Cache(enum.StrEnum):
    """What a bot keeps in memory of what Discord tells it.

    lean: guilds, channels, roles and itself, as far as its intents bring them. members: the members too. full: all.
    none: nothing but itself.
    """

    NONE = "none"
    LEAN = "lean"
    MEMBERS = "members"
    FULL = "full"


class Status(enum.StrEnum):
    """What the dot beside the bot's name says."""

    ONLINE = "online"
    IDLE = "idle"
    DND = "dnd"
    INVISIBLE = "invisible"


class Doing(enum.StrEnum):
    """How an activity is worded."""

    PLAYING = "playing"
    LISTENING = "listening"
    WATCHING = "watching"
    COMPETING = "competing"
    CUSTOM = "custom"


class Presence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the bot shows itself. activity: the text behind `doing`; None: none."""

    status: Status = Status.ONLINE
    doing: Doing = Doing.CUSTOM
    activity: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class BotConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one bot is to be.

    app: a whole bot of the operator's own, made by this function, in place of extensions. extensions: what it loads
    besides what every bot of the fleet does; without: what of that it does not load; both take module paths and the
    names of `BUILT_IN`. intents: names of Discord's gateway intents; None: all that need no approval. owners: users
    who may use the admin commands, besides those whom Discord names as the application's owners. locale: of the bot's
    texts where Discord does not tell the user's. settings: of extensions, by their short name or module path.
    """

    app: AppName | None = None
    extensions: Annotated[tuple[ModuleName, ...], Meta(max_length=100)] = ()
    without: Annotated[tuple[ModuleName, ...], Meta(max_length=100)] = ()
    presence: Presence = Presence()
    intents: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=40)] | None = None
    cache: Cache = Cache.LEAN
    owners: Annotated[tuple[Snowflake, ...], Meta(max_length=100)] = ()
    locale: Locale = DEFAULT_LOCALE
    settings: dict[Annotated[str, Meta(max_length=200)], dict[str, Any]] = {}

    def loaded(self, fleet: tuple[str, ...]) -> tuple[str, ...]:
        """Return the module paths that this bot loads, each once. fleet: those of every bot."""
        left_out = {BUILT_IN.get(name, name) for name in self.without}
        wanted = dict.fromkeys(BUILT_IN.get(name, name) for name in (*fleet, *self.extensions))
        return tuple(name for name in wanted if name not in left_out)


DEFAULT_CONFIG: Final = BotConfig()


def own_code(fleet: tuple[str, ...], configs: Iterable[BotConfig]) -> tuple[str, ...]:
    """Return the extensions and apps that bots of these configs have between them, each once, the fleet's first."""
    named = dict.fromkeys(fleet)
    for config in configs:
        named |= dict.fromkeys(config.loaded(fleet) if config.app is None else (config.app,))
    return tuple(named)


class GuildConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the people of one guild set for one bot there.

    locale: of its texts to all; None: the bot's. off: names of commands that it does not answer there. settings: of
    extensions, in place of the bot's, by their short name or module path.
    """

    locale: Locale | None = None
    off: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=100)] = ()
    settings: dict[Annotated[str, Meta(max_length=200)], dict[str, Any]] = {}


DEFAULT_GUILD_CONFIG: Final = GuildConfig()
