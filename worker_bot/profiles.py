"""What a bot hears and keeps: Discord's intents and the parts of hikari's cache that its config stands for. Pure.

An extension says with `authoring.needs` what it cannot do without; one that needs more than the config gives is refused
with what to set, before it costs a session start.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import hikari
from hikari.api import CacheComponents as Part

from flotilla.domain.config import BotConfig, Cache
from flotilla.domain.intents import PRIVILEGED, wanted

MAX_MESSAGES: Final = 300
MAX_DM_CHANNELS: Final = 50

PARTS: Final = {
    Cache.NONE: Part.ME,
    Cache.LEAN: Part.ME | Part.GUILDS | Part.GUILD_CHANNELS | Part.ROLES,
    Cache.MEMBERS: Part.ME | Part.GUILDS | Part.GUILD_CHANNELS | Part.ROLES | Part.MEMBERS,
    Cache.FULL: Part.ALL,
}
"""Guilds, channels and roles are what commands need; members and messages are what fills memory."""

FILLED_BY: Final = {
    Part.ME: (),
    Part.GUILDS: ("GUILDS",),
    Part.GUILD_CHANNELS: ("GUILDS",),
    Part.GUILD_THREADS: ("GUILDS",),
    Part.ROLES: ("GUILDS",),
    Part.MEMBERS: ("GUILDS", "GUILD_MEMBERS"),
    Part.EMOJIS: ("GUILDS", "GUILD_EMOJIS"),
    Part.GUILD_STICKERS: ("GUILDS", "GUILD_EMOJIS"),
    Part.INVITES: ("GUILDS", "GUILD_INVITES"),
    Part.VOICE_STATES: ("GUILDS", "GUILD_VOICE_STATES"),
    Part.PRESENCES: ("GUILDS", "GUILD_PRESENCES"),
    Part.MESSAGES: ("GUILD_MESSAGES",),
    Part.DM_CHANNEL_IDS: ("DM_MESSAGES",),
}
"""Intents without which a part stays empty or goes out of date (Discord, Gateway, List of Intents)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a bot hears and keeps."""

    intents: hikari.Intents
    parts: Part

    def cache_settings(self) -> hikari.impl.CacheSettings:
        """Return hikari's settings, bounded."""
        return hikari.impl.CacheSettings(
            components=self.parts, max_messages=MAX_MESSAGES, max_dm_channel_ids=MAX_DM_CHANNELS
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """What an extension cannot do without. intents: names of intents. cache: the least that is to be kept."""

    intents: frozenset[str] = frozenset()
    cache: Cache = Cache.NONE


def profile_of(config: BotConfig) -> Profile:
    """Return the profile of a config: of its cache only what its intents can fill."""
    return _profile(config.intents, config.cache)


@functools.lru_cache(maxsize=16)
def _profile(wanted_intents: tuple[str, ...] | None, cache: Cache) -> Profile:
    names = wanted(wanted_intents)
    intents = hikari.Intents.NONE
    for name in names:
        intents |= hikari.Intents[name]
    parts = Part.NONE
    for part, filled_by in FILLED_BY.items():
        if part & PARTS[cache] and names.issuperset(filled_by):
            parts |= part
    return Profile(intents, parts)


def lacking(config: BotConfig, needs: Mapping[str, Needs]) -> str:
    """Return what the config has to give for its extensions, as a sentence with what to set; empty: it gives all.

    needs: by the extension's module path.
    """
    return " ".join(sentence for name, need in sorted(needs.items()) for sentence in _lacking(config, name, need))


def _lacking(config: BotConfig, name: str, need: Needs) -> Iterable[str]:
    has = wanted(config.intents)
    missing = sorted(need.intents - has)
    if missing:
        whole = ",".join(f'"{intent}"' for intent in sorted(has | need.intents))
        portal = sorted(PRIVILEGED & set(missing))
        first = f" Switch {', '.join(portal)} on in the Developer Portal first." if portal else ""
        yield (
            f"{name} needs the intent {', '.join(missing)}.{first} "
            f"Then set it: flotilla bots config NAME 'intents=[{whole}]'."
        )
    if PARTS[need.cache] & ~PARTS[config.cache]:
        yield (
            f"{name} needs the cache {need.cache.value}, and {config.cache.value} is set: "
            f"flotilla bots config NAME cache={need.cache.value}."
        )
