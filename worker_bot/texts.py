"""What a bot's users read from Flotilla, in their language. The texts themselves are in `worker_bot/locales`.

Each language is a file there, named as Discord names its locale (Reference, Locales). What a file lacks, or has wrong,
is said in English: a text never breaks a bot.
"""

import logging
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import hikari

from worker_bot import itself

FOLDER: Final = Path(__file__).with_name("locales")
DEFAULT: Final = "en-US"
MAX_DIGITS: Final = 20
"""Of a snowflake."""


Texts = Mapping[str, str]
log = logging.getLogger("flotilla.texts")


def load(folder: Path) -> dict[str, Texts]:
    """Return the texts of each locale by their keys, such as `commands.ping.name`. Never raises."""
    found: dict[str, Texts] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[_known(path.stem)] = MappingProxyType(dict(_flat(tomllib.loads(path.read_text("utf-8")))))
        except (OSError, ValueError, RecursionError) as fault:  # TOML's and Unicode's are ValueErrors
            log.error("the locale %s is left out: %s", path.name, fault)  # noqa: TRY400 - one line says it
    return found


def _known(name: str) -> str:
    """Return a locale's name. Raises ValueError for one that Discord does not know: it would refuse all commands."""
    if name not in {locale.value for locale in hikari.Locale}:
        raise ValueError("Discord has no locale of that name")
    return name


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        elif isinstance(value, str) and value:
            yield f"{path}{key}", value


class Speech:
    """Says things in the locales that there are."""

    def __init__(self, locales: Mapping[str, Texts]) -> None:
        self._locales = locales
        self._by_language = {name.partition("-")[0]: name for name in sorted(locales, reverse=True)}

    def locales(self) -> tuple[str, ...]:
        """Return the names of those that there are."""
        return tuple(self._locales)

    def chosen(self, *wanted: str | None) -> str:
        """Return the first of the locales wanted that there is, or one of the same language; else English."""
        for name in wanted:
            if name and name in self._locales:
                return name
            if name and (same := self._by_language.get(name.partition("-")[0])):
                return same
        return DEFAULT

    def say(self, locale: str, key: str, /, **values: object) -> str:
        """Return a text with `values` filled in. Never raises: at worst it is the key."""
        for name in (locale, DEFAULT):
            template = self._locales.get(name, {}).get(key)
            if template is not None:
                try:
                    return template.format_map(values)
                except (LookupError, ValueError, AttributeError, TypeError) as fault:
                    log.warning("the text %s of the locale %s is wrong: %r", key, name, fault)
        return key

    def provide(self, key: str) -> dict[hikari.Locale, str]:
        """Return a text in each locale that has it: lightbulb's `localization_provider`."""
        english = self._locales.get(DEFAULT, {}).get(key, key.rpartition(".")[2])
        found = {hikari.Locale(name): texts[key] for name, texts in self._locales.items() if key in texts}
        return {hikari.Locale(DEFAULT): english} | found


_speech = Speech(load(FOLDER))
say, provide, locales = _speech.say, _speech.provide, _speech.locales


def spoken(user: object, guild: object, guild_id: object = None) -> str:
    """Return in which locale a user of this process's bot is answered: theirs, else the guild's, else the bot's.

    guild: what Discord has as the guild's; its staff may have set another. Never raises, whatever it is given.
    """
    bot, number = itself.current(), str(guild_id or "")
    own = bot.known(int(number)).locale if number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS else ""
    return _speech.chosen(str(user or ""), own, str(guild or ""), bot.config().locale)
