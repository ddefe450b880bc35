"""What a change of a bot's config takes to hold: at once, with a warm restart, or with a new session. Pure."""

import enum
from typing import Any, Final

import msgspec

from flotilla.domain.config import BotConfig, Cache
from flotilla.domain.intents import wanted


class Effect(enum.StrEnum):
    """How a change comes to hold, from the least to the most that it costs.

    none: nothing changes for the bot. live: in the running process. warm_restart: the next process goes on with the
    session. new_session: that one has to identify, of which Discord allows 1,000 in 24 hours.
    """

    NONE = "none"
    LIVE = "live"
    WARM_RESTART = "warm_restart"
    NEW_SESSION = "new_session"


FIELDS: Final = {
    "app": Effect.WARM_RESTART,
    "extensions": Effect.WARM_RESTART,
    "without": Effect.WARM_RESTART,
    "presence": Effect.LIVE,
    "intents": Effect.NEW_SESSION,
    "cache": Effect.WARM_RESTART,
    "owners": Effect.LIVE,
    "locale": Effect.LIVE,
    "settings": Effect.LIVE,
}
"""Every field of a config. Extensions: lightbulb can unload one, but not what its code has begun, so a process that has
never seen it is the only one that is without it. Cache: one that grows takes a new session, see `effect_of`."""

_ORDER = tuple(Effect)
_KEEPS = (Cache.NONE, Cache.LEAN, Cache.MEMBERS, Cache.FULL)
"""From the one that keeps least; each keeps what the one before does."""


class Change(msgspec.Struct, frozen=True):
    """One field that changes. before, after: as JSON has them; null: the default."""

    field: str
    before: Any
    after: Any
    effect: Effect


def changes_of(before: BotConfig, after: BotConfig) -> tuple[Change, ...]:
    """Return what differs, field by field."""
    was, will_be = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return tuple(
        Change(name, was.get(name), will_be.get(name), effect_of(name, before, after))
        for name in FIELDS
        if was.get(name) != will_be.get(name)
    )


def effect_of(name: str, before: BotConfig, after: BotConfig) -> Effect:
    """Return what the change of one field takes.

    A cache that is to keep more has to be told it anew, and Discord tells it only to a new session.
    """
    if getattr(before, name) == getattr(after, name):
        return Effect.NONE
    if name == "intents" and wanted(before.intents) == wanted(after.intents):
        return Effect.NONE
    if name == "cache" and _KEEPS.index(after.cache) > _KEEPS.index(before.cache):
        return Effect.NEW_SESSION
    if name in {"extensions", "without"} and _loads_alike(before, after):
        return Effect.NONE
    return FIELDS[name]


def _loads_alike(before: BotConfig, after: BotConfig) -> bool:
    """Return whether what is loaded stays the same, in its order, whatever the fleet loads."""
    return before.loaded(()) == after.loaded(()) and set(before.without) == set(after.without)


def whole_effect(before: BotConfig, after: BotConfig) -> Effect:
    """Return what the change of a whole config takes: the most that any of its fields does."""
    return max((effect_of(name, before, after) for name in FIELDS), key=_ORDER.index)
