"""The fields of commands, options and choices by themselves; how they go together is `rules`' business. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.messages.component_shapes import CHANNEL_TYPES
from sandbox.shapes import (
    Path,
    Shape,
    boolean,
    choice,
    integer,
    items,
    number,
    permissions,
    record,
    snowflake,
    table,
    text,
)

LOCALES: Final = frozenset((
    "ar", "bg", "cs", "da", "de", "el", "en-GB", "en-US", "es-419", "es-ES", "fi", "fr", "he", "hi", "hr", "hu",
    "id", "it", "ja", "ko", "lt", "nl", "no", "pl", "pt-BR", "ro", "ru", "sv-SE", "th", "tr", "uk", "vi", "zh-CN",
    "zh-TW",
))  # fmt: skip
"""Description: the locales of localizations."""
SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, CHANNEL, NUMBER = 1, 2, 3, 4, 7, 10
INT53_MAX: Final = 2**53 - 1


def localizations(longest: int) -> Shape:
    """A text for each of some locales."""
    return table(text(longest, 1), len(LOCALES), LOCALES)


_LOCALIZED: Final[Mapping[str, Shape]] = {
    "name_localizations": localizations(limits.COMMAND_NAME_MAX),
    "description_localizations": localizations(limits.COMMAND_DESCRIPTION_MAX),
}
COMMAND: Final[Shape] = record({
    **_LOCALIZED,
    "id": snowflake,
    "type": choice(1, 2, 3, 4),
    "default_member_permissions": permissions,
    "dm_permission": boolean,
    "nsfw": boolean,
    "contexts": items(choice(0, 1, 2), 3, 1, unique=True),
    "integration_types": items(choice(0, 1), 2, 1, unique=True),
    "handler": choice(1, 2),
})  # fmt: skip


def _choices(value: Shape) -> Shape:
    return items(_choice(value), limits.COMMAND_CHOICES_MAX)


def _choice(value: Shape) -> Shape:
    names = {"name": text(limits.CHOICE_NAME_MAX, 1), "name_localizations": localizations(limits.CHOICE_NAME_MAX)}
    return record({**names, "value": value}, required=("name", "value"))


_INT53 = integer(-INT53_MAX, INT53_MAX)
_LENGTH = limits.OPTION_LENGTH_MAX
_VALUES: Final[Mapping[int, Shape]] = {STRING: text(limits.OPTION_LENGTH_MAX), INTEGER: _INT53, NUMBER: number}
_OF_ALL: Final[Mapping[str, Shape]] = {**_LOCALIZED, "required": boolean}
_OF_TYPE: Final[Mapping[int, Mapping[str, Shape]]] = {
    STRING: {
        "autocomplete": boolean,
        "choices": _choices(_VALUES[STRING]),
        "min_length": integer(0, _LENGTH),
        "max_length": integer(1, _LENGTH),
    },
    INTEGER: {"autocomplete": boolean, "choices": _choices(_INT53), "min_value": _INT53, "max_value": _INT53},
    NUMBER: {"autocomplete": boolean, "choices": _choices(number), "min_value": number, "max_value": number},
    CHANNEL: {"channel_types": items(choice(*CHANNEL_TYPES), len(CHANNEL_TYPES), unique=True)},
}
_OPTIONS: Final = {kind: record({**_OF_ALL, **_OF_TYPE.get(kind, {})}) for kind in range(1, 12)}
_KEPT: Final = {kind: {"type", "name", "description", *_OF_ALL, *_OF_TYPE.get(kind, {})} for kind in range(1, 12)}
_CHOICE_KEPT = ("name", "name_localizations", "value")
_ANSWERS: Final = {
    kind: items(_choice(value), limits.AUTOCOMPLETE_CHOICES_MAX, nulls=True) for kind, value in _VALUES.items()
}


def check_option(kind: int, option: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """Record what is wrong with the fields of an option of this type; return whether they are right."""
    return _OPTIONS[kind](option, faults, path)


def check_answers(kind: int, choices: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """Record what is wrong with the choices for an option of this type that a user is typing into."""
    return _ANSWERS.get(kind, _ANSWERS[STRING])(choices, faults, path)


def rendered_option(option: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked option as Discord answers with it: without nulls and without what options have not."""
    kept = {key: value for key, value in option.items() if value is not None and key in _KEPT[option["type"]]}
    if "choices" in kept:
        kept["choices"] = [
            {key: row[key] for key in _CHOICE_KEPT if row.get(key) is not None} for row in kept["choices"]
        ]
    if option["type"] in {SUB_COMMAND, SUB_COMMAND_GROUP} and option.get("options") is not None:
        kept["options"] = [rendered_option(nested) for nested in option["options"]]
    return kept
