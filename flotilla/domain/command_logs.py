"""What a bot's users did with it: one log for each command, component, modal and autocomplete that reached it."""

import enum
from typing import Annotated, Any

import msgspec

MAX_OPTIONS_BYTES = 2048
"""Of the options of one log, as JSON. An option may have 6,000 characters (Discord, Application Commands)."""

MAX_TEXT = 60
REDACTED = "[redacted]"


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

    id: Annotated[str, msgspec.Meta(min_length=26, max_length=26)]
    at: float
    kind: Kind
    name: Annotated[str, msgspec.Meta(max_length=100)]
    outcome: Outcome
    interaction_id: int
    user_id: int
    guild_id: int | None = None
    channel_id: int | None = None
    options: dict[str, Any] = {}
    first_ms: float | None = None
    total_ms: float | None = None
    deferred: bool = False
    error: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    reference: Annotated[str, msgspec.Meta(max_length=26)] | None = None


def shown(options: dict[str, Any], sensitive: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return options as they may be stored: those in `sensitive` redacted, long texts cut, all within bounds.

    Beyond `MAX_OPTIONS_BYTES` those that come last are left out, and `…` says how many.
    """
    kept: dict[str, Any] = {}
    size = 0
    for number, (name, value) in enumerate(options.items()):
        shown_value = REDACTED if name in sensitive else _cut(value)
        size += len(msgspec.json.encode({name: shown_value}))
        if size > MAX_OPTIONS_BYTES:
            kept["…"] = f"{len(options) - number} more"
            break
        kept[name] = shown_value
    return kept


def _cut(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"
