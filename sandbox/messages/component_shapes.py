"""The fields of each kind of component by themselves; how components may nest is `component_rules`' business. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.shapes import (
    INT32_MAX,
    LINKS,
    PICTURES,
    Path,
    Shape,
    boolean,
    choice,
    integer,
    items,
    record,
    snowflake,
    text,
    url,
)

Component = dict[str, Any]


class Kind(IntEnum):
    """The types of component (documented: Components)."""

    ACTION_ROW = 1
    BUTTON = 2
    STRING_SELECT = 3
    TEXT_INPUT = 4
    USER_SELECT = 5
    ROLE_SELECT = 6
    MENTIONABLE_SELECT = 7
    CHANNEL_SELECT = 8
    SECTION = 9
    TEXT_DISPLAY = 10
    THUMBNAIL = 11
    MEDIA_GALLERY = 12
    FILE = 13
    SEPARATOR = 14
    CONTAINER = 17
    LABEL = 18
    FILE_UPLOAD = 19
    RADIO_GROUP = 21
    CHECKBOX_GROUP = 22
    CHECKBOX = 23


LINK_STYLE, PREMIUM_STYLE = 5, 6
CHANNEL_TYPES: Final = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15)  # documented: Resources, Channel
_COLOUR = integer(0, 0xFFFFFF)
_CUSTOM_ID = text(limits.CUSTOM_ID_MAX, 1)
_EMOJI_FIELDS = record({"id": snowflake, "name": text(limits.COMPONENT_EMOJI_NAME_MAX), "animated": boolean})
_Fields = tuple[Mapping[str, Shape], tuple[str, ...]]


def _emoji(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """An emoji of a guild by its id, another by its name."""
    right = _EMOJI_FIELDS(value, faults, path)
    if right and value.get("id") is None and not value.get("name"):
        faults.add((*path, "name"), "COMPONENT_INVALID_EMOJI", "Invalid emoji")
        return False
    return right


_ALT = text(limits.MEDIA_DESCRIPTION_MAX, 1)
_MEDIA = record({"url": url(limits.URL_MAX, *PICTURES)}, required=("url",))
_FILE = record({"url": url(limits.URL_MAX, "attachment")}, required=("url",))


def _option(*, emoji: bool) -> Shape:
    fields: dict[str, Shape] = {
        "label": text(limits.SELECT_OPTION_TEXT_MAX["label"], 1),
        "value": text(limits.SELECT_OPTION_TEXT_MAX["value"], 1),
        "description": text(limits.SELECT_OPTION_TEXT_MAX["description"]),
        "default": boolean,
    }
    return record(fields | ({"emoji": _emoji} if emoji else {}), required=("label", "value"))


def _default_values(*kinds: str) -> Shape:
    one = record({"id": snowflake, "type": choice(*kinds)}, required=("id", "type"))
    return items(one, limits.SELECT_OPTIONS_MAX)


def _select(more: Mapping[str, Shape], *required: str) -> _Fields:
    fields: dict[str, Shape] = {
        "custom_id": _CUSTOM_ID,
        "placeholder": text(limits.SELECT_PLACEHOLDER_MAX),
        "min_values": integer(0, limits.SELECT_OPTIONS_MAX),
        "max_values": integer(1, limits.SELECT_OPTIONS_MAX),
        "disabled": boolean,
        "required": boolean,
    }
    return _with_id(fields | dict(more), "custom_id", *required)


def _with_id(fields: Mapping[str, Shape], *required: str) -> _Fields:
    return {"id": integer(0, INT32_MAX), **fields}, required


def _group(fewest: int, *, counted: bool) -> _Fields:
    most = limits.GROUP_OPTIONS_MAX
    options = items(_option(emoji=False), most, fewest)
    fields: dict[str, Shape] = {"custom_id": _CUSTOM_ID, "required": boolean, "options": options}
    if counted:
        fields |= {"min_values": integer(0, most), "max_values": integer(1, most)}
    return _with_id(fields, "custom_id", "options")


_KINDS: Final[dict[Kind, _Fields]] = {
    Kind.ACTION_ROW: _with_id({}),
    Kind.BUTTON: _with_id(
        {
            "style": choice(1, 2, 3, 4, LINK_STYLE, PREMIUM_STYLE),
            "custom_id": _CUSTOM_ID,
            "label": text(limits.BUTTON_LABEL_MAX),
            "disabled": boolean,
            "url": url(limits.BUTTON_URL_MAX, *LINKS, "discord"),
            "sku_id": snowflake,
            "emoji": _emoji,
        },
        "style",
    ),
    Kind.STRING_SELECT: _select({"options": items(_option(emoji=True), limits.SELECT_OPTIONS_MAX, 1)}, "options"),
    Kind.USER_SELECT: _select({"default_values": _default_values("user")}),
    Kind.ROLE_SELECT: _select({"default_values": _default_values("role")}),
    Kind.MENTIONABLE_SELECT: _select({"default_values": _default_values("user", "role")}),
    Kind.CHANNEL_SELECT: _select(
        {
            "default_values": _default_values("channel"),
            "channel_types": items(choice(*CHANNEL_TYPES), len(CHANNEL_TYPES), unique=True),
        }
    ),
    Kind.TEXT_INPUT: _with_id(
        {
            "custom_id": _CUSTOM_ID,
            "style": choice(1, 2),
            "label": text(limits.TEXT_INPUT_LABEL_MAX, 1),
            "value": text(limits.TEXT_INPUT_MAX),
            "placeholder": text(limits.TEXT_INPUT_PLACEHOLDER_MAX),
            "required": boolean,
            "min_length": integer(0, limits.TEXT_INPUT_MAX),
            "max_length": integer(1, limits.TEXT_INPUT_MAX),
        },
        "custom_id",
        "style",
    ),
    Kind.SECTION: _with_id({}),
    Kind.TEXT_DISPLAY: _with_id({"content": text(limits.TEXT_DISPLAY_TOTAL_MAX, 1)}, "content"),
    Kind.THUMBNAIL: _with_id({"media": _MEDIA, "description": _ALT, "spoiler": boolean}, "media"),
    Kind.MEDIA_GALLERY: _with_id(
        {
            "items": items(
                record({"media": _MEDIA, "description": _ALT, "spoiler": boolean}, required=("media",)),
                limits.GALLERY_ITEMS_MAX,
                1,
            )
        },
        "items",
    ),
    Kind.FILE: _with_id({"file": _FILE, "spoiler": boolean}, "file"),
    Kind.SEPARATOR: _with_id({"spacing": choice(1, 2), "divider": boolean}),
    Kind.CONTAINER: _with_id({"accent_color": _COLOUR, "spoiler": boolean}),
    Kind.LABEL: _with_id(
        {"label": text(limits.TEXT_INPUT_LABEL_MAX, 1), "description": text(limits.LABEL_DESCRIPTION_MAX, 1)}, "label"
    ),
    Kind.FILE_UPLOAD: _with_id(
        {
            "custom_id": _CUSTOM_ID,
            "required": boolean,
            "min_values": integer(0, limits.ATTACHMENTS_MAX),
            "max_values": integer(1, limits.ATTACHMENTS_MAX),
        },
        "custom_id",
    ),
    Kind.RADIO_GROUP: _group(2, counted=False),
    Kind.CHECKBOX_GROUP: _group(1, counted=True),
    Kind.CHECKBOX: _with_id({"custom_id": _CUSTOM_ID, "default": boolean}, "custom_id"),
}
NESTED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.ACTION_ROW: ("components",),
    Kind.SECTION: ("components", "accessory"),
    Kind.CONTAINER: ("components",),
    Kind.LABEL: ("component",),
}
"""Under which keys a kind holds others: a list of them, or one."""
SHAPES: Final = {kind: record(fields, required) for kind, (fields, required) in _KINDS.items()}
NAMES: Final = {kind: {"type", *fields, *NESTED.get(kind, ())} for kind, (fields, _) in _KINDS.items()}
"""The fields that Discord knows of each kind."""


def is_known(kind: object) -> bool:
    """Return whether `kind`, any JSON value, is a type of component."""
    return type(kind) is int and kind in _VALUES


_VALUES: Final = frozenset(map(int, Kind))
