"""What a bot's code may say to Flotilla. It needs to say nothing."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from flotilla.domain.config import BUILT_IN, DEFAULT_CONFIG, BotConfig, Cache
from worker_bot.guild_configs import GuildConfigs
from worker_bot.profiles import Needs

Settings = dict[str, Any]
Listener = Callable[[Settings], Awaitable[None] | None]

_sensitive: dict[str, frozenset[str]] = {}
_needs: dict[str, Needs] = {}
_listeners: dict[tuple[str, str], tuple[str, Listener]] = {}
_config: list[Callable[[], BotConfig]] = []
_guilds: list[GuildConfigs] = []


def sensitive(command: str, *options: str) -> None:
    """Declare options whose values are not to be stored in command logs.

    command: its name with its subcommands, such as `account login`, or the custom id of a modal. Once per process is
    enough: at import of an extension, say.
    """
    _sensitive[command] = _sensitive.get(command, frozenset()) | frozenset(options)


def sensitive_options(command: str) -> frozenset[str]:
    """Return the options of a command that were declared so."""
    return _sensitive.get(command, frozenset())


def needs(extension: str, *, intents: tuple[str, ...] = (), cache: str = "none") -> None:
    """Declare what an extension cannot do without, at its import: `needs(__name__, intents=("GUILD_MEMBERS",))`.

    A bot whose config gives less does not start, and its operator is told what to set. intents: Discord's names. cache:
    `none`, `lean`, `members` or `full`. Raises ValueError for another one.
    """
    _needs[extension] = Needs(frozenset(intents), Cache(cache))


def needed_by(extensions: tuple[str, ...]) -> dict[str, Needs]:
    """Return what those of these extensions need that have declared something."""
    return {name: _needs[name] for name in extensions if name in _needs}


def settings(extension: str) -> Settings:
    """Return what the operator has set for an extension, by its short name or module path; empty if nothing."""
    return settings_in(_config[0]() if _config else DEFAULT_CONFIG, extension)


async def guild_settings(extension: str, guild_id: int) -> Settings:
    """Return an extension's settings in a guild: what is set there, in place of what the operator has set for all."""
    own: Settings = {}
    if _guilds:
        of_guild = (await _guilds[0].of(guild_id)).settings
        own = next((of_guild[name] for name in _names_of(extension) if name in of_guild), {})
    return settings(extension) | own


def on_settings(extension: str, listener: Listener) -> None:
    """Call `listener` with an extension's settings whenever they change. One that raises has the change refused.

    Declared again under the same name (of the function), as at a reload, it takes the place of the one before.
    """
    _listeners[extension, getattr(listener, "__qualname__", repr(listener))] = extension, listener


# For Flotilla itself -------------------------------------------------------------------------------------------------


def listeners() -> Iterator[tuple[str, Listener]]:
    """Yield the extensions' listeners."""
    yield from list(_listeners.values())


def settings_in(config: BotConfig, extension: str) -> Settings:
    """Return an extension's settings in a config."""
    return dict(next((config.settings[name] for name in _names_of(extension) if name in config.settings), {}))


def install(config: Callable[[], BotConfig] | None, guilds: GuildConfigs | None) -> None:
    """Let the bot's code of this process see its config, and that of its guilds."""
    _config[:] = [] if config is None else [config]
    _guilds[:] = [] if guilds is None else [guilds]


def _names_of(extension: str) -> tuple[str, ...]:
    """Return the names under which an extension's settings may stand: as given, and short or long if it is built in."""
    short = {path: name for name, path in BUILT_IN.items()}
    return tuple(dict.fromkeys((extension, BUILT_IN.get(extension, extension), short.get(extension, extension))))
