"""What a bot's config says that cannot be, though each part of it could. Pure."""

import difflib
from collections.abc import Iterator

from flotilla.domain.config import BUILT_IN, BotConfig, Cache
from flotilla.domain.intents import INTENTS, PRIVILEGED, wanted
from flotilla.errors import FixInputError

_NEEDED = {
    Cache.NONE: (),
    Cache.LEAN: (),
    Cache.MEMBERS: ("GUILDS", "GUILD_MEMBERS"),
    Cache.FULL: ("GUILDS",),
}
"""Intents without which a cache would stay empty, or be wrong after a while."""


def checked(config: BotConfig) -> BotConfig:
    """Return `config`. Raises FixInputError (`config_invalid`) that says all of what cannot be, and what to do."""
    faults = [*_of_intents(config), *_of_modules(config), *_of_app(config)]
    if faults:
        raise FixInputError(f"The config cannot work: {' '.join(faults)}", code="config_invalid", faults=faults)
    return config


def asked_of_discord(before: BotConfig, after: BotConfig) -> tuple[str, ...]:
    """Return the privileged intents that `after` has and `before` had not: they must be switched on by hand."""
    return tuple(sorted((wanted(after.intents) - wanted(before.intents)) & PRIVILEGED))


def _of_intents(config: BotConfig) -> Iterator[str]:
    for place, name in enumerate(config.intents or ()):
        if name not in INTENTS:
            near = difflib.get_close_matches(name.upper(), INTENTS, 1, 0.5)
            hint = f"Perhaps {near[0]} is meant." if near else f"There are: {', '.join(INTENTS)}."
            yield f"intents[{place}]: Discord has no intent {name!r}. {hint}"
    missing = [name for name in _NEEDED[config.cache] if name not in wanted(config.intents)]
    if missing:
        shown = " and ".join(missing)
        yield (
            f"cache: {config.cache.value} needs the intent {shown}. "
            f"Add it to intents (null stands for all that need no approval), or choose another cache."
        )


def _of_modules(config: BotConfig) -> Iterator[str]:
    for field in ("extensions", "without"):
        for place, name in enumerate(getattr(config, field)):
            if name.endswith(".py"):
                yield f"{field}[{place}]: {name!r} is a file; name the module: {name.removesuffix('.py')!r}."
            elif "." not in name and name not in BUILT_IN:
                near = difflib.get_close_matches(name, BUILT_IN, 1, 0.75)
                if near:
                    yield f"{field}[{place}]: There is no {name!r}. Perhaps {near[0]!r} is meant."
    loaded = {BUILT_IN.get(name, name) for name in config.extensions}
    both = sorted(name for name in config.without if BUILT_IN.get(name, name) in loaded)
    if both:
        yield f"without: {', '.join(both)} is in extensions as well; leave it out of one of them."


def _of_app(config: BotConfig) -> Iterator[str]:
    if config.app is not None and config.app.partition(":")[0].partition(".")[0] in {"worker_bot", "flotilla"}:
        yield f"app: {config.app!r} is Flotilla's own code; name a function of yours, such as 'shop.bot:create_bot'."
