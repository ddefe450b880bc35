"""What a bot's users did with it: one log for each command, component, modal and autocomplete that reached it."""

import enum
from typing import Annotated, Any

import msgspec

from flotilla.domain.bounds import PLAIN, Line, Milliseconds, Snowflake, Ulid, UnixTime, plain

MAX_OPTIONS_BYTES = 2048
"""Of the options of one log, as JSON. An option may have 6,000 characters (Discord, Application Commands)."""

MAX_TEXT = 60
MAX_NAME = 100
MAX_OPTIONS = 64
"""More than any form of Discord's has."""

WHOLE = 2**53
"""Beyond it Discord has no whole numbers in options either (Discord, Application Command Option Type)."""

REDACTED = "[redacted]"
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME, pattern=PLAIN)]
Option = (
    Annotated[str, msgspec.Meta(max_length=200, pattern=PLAIN)]
    | Annotated[int, msgspec.Meta(ge=-WHOLE, le=WHOLE)]
    | Annotated[float, msgspec.Meta(ge=-1e308, le=1e308)]
    | bool
    | None
)
Options = Annotated[dict[Name, Option], msgspec.Meta(max_length=MAX_OPTIONS)]


class Kind(enum.StrEnum):
    """What was used."""

    COMMAND = "command"
    COMPONENT = "component"
    MODAL = "modal"
    AUTOCOMPLETE = "autocomplete"


class Outcome(enum.StrEnum):
    """How it ended: answered, an exception in the bot's code, never answered, or too late to be answered in 3 s."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    LATE = "late"


class CommandLog(msgspec.Struct, frozen=True, array_like=True):
    """One that ran, as its worker tells it. Fields by position: new ones go last and have defaults.

    id: a ULID of when it arrived, made once, so that a log told twice is kept once. at: Unix seconds. name: of the
    command with its subcommands, or the custom id. options: as the user gave them, bounded and redacted by `shown`.
    first_ms: from its arrival to the first response that Discord accepted, whoever sent it; total_ms: until the bot's
    code had ended. deferred: the first response was not the bot's own. error: class of the exception; reference: what
    the user was shown of it.
    """

    id: Ulid
    at: UnixTime
    kind: Kind
    name: Name
    outcome: Outcome
    interaction_id: Snowflake
    user_id: Snowflake
    guild_id: Snowflake | None = None
    channel_id: Snowflake | None = None
    options: Options = {}
    first_ms: Milliseconds | None = None
    total_ms: Milliseconds | None = None
    deferred: bool = False
    error: Line | None = None
    reference: Annotated[str, msgspec.Meta(max_length=26, pattern=PLAIN)] | None = None


def shown(options: dict[str, Any], sensitive: frozenset[str] = frozenset()) -> Options:
    """Return options as they may be stored: those in `sensitive` redacted, long texts cut, all within bounds.

    Beyond `MAX_OPTIONS_BYTES` those that come last are left out, and `…` says how many.
    """
    kept: dict[str, Option] = {}
    size = 0
    for number, (name, value) in enumerate(options.items()):
        shown_value = REDACTED if name in sensitive else _cut(value)
        key = plain(name, MAX_NAME)
        size += len(msgspec.json.encode({key: shown_value}))
        if size > MAX_OPTIONS_BYTES or len(kept) >= MAX_OPTIONS - 1:
            kept["…"] = f"{len(options) - number} more"
            break
        kept[key] = shown_value
    return kept


def _cut(value: object) -> Option:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float) and -WHOLE <= value <= WHOLE:
        return value
    text = str(value)
    return plain(text, MAX_TEXT) if len(text) <= MAX_TEXT else f"{plain(text, MAX_TEXT)}… ({len(text)} characters)"
