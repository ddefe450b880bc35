"""Discord's rules for components, in messages and in modals: what a 50035 says about them. Pure."""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

from sandbox import limits
from sandbox.errors import FieldFaults

Component = dict[str, Any]
Path = tuple[str | int, ...]


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


_KINDS: Final = frozenset(map(int, Kind))
SELECTS: Final = frozenset(
    {
        Kind.STRING_SELECT,
        Kind.USER_SELECT,
        Kind.ROLE_SELECT,
        Kind.MENTIONABLE_SELECT,
        Kind.CHANNEL_SELECT,
    }
)
LINK_STYLE, PREMIUM_STYLE = 5, 6
_BUTTON_STYLES = (1, 2, 3, 4, LINK_STYLE, PREMIUM_STYLE)
_TEXT_INPUT_STYLES = (1, 2)
_IN_CONTAINER = frozenset(
    {
        Kind.ACTION_ROW,
        Kind.SECTION,
        Kind.TEXT_DISPLAY,
        Kind.MEDIA_GALLERY,
        Kind.FILE,
        Kind.SEPARATOR,
    }
)
_IN_LABEL = SELECTS | {Kind.TEXT_INPUT, Kind.FILE_UPLOAD, Kind.RADIO_GROUP, Kind.CHECKBOX_GROUP, Kind.CHECKBOX}
_MESSAGE_TOP = frozenset({Kind.ACTION_ROW})
_MESSAGE_V2_TOP = _IN_CONTAINER | {Kind.CONTAINER}
_MODAL_TOP = frozenset({Kind.ACTION_ROW, Kind.LABEL, Kind.TEXT_DISPLAY})


def children(component: Component) -> Iterator[Component]:
    """Yield what lies directly within a component."""
    for nested in (component.get("components"), [component.get("accessory")], [component.get("component")]):
        yield from (each for each in nested or [] if isinstance(each, dict))


def walk(components: object) -> Iterator[Component]:
    """Yield every component, outer ones first."""
    for component in components if isinstance(components, list) else []:
        if isinstance(component, dict):
            yield component
            yield from walk(list(children(component)))


def check_message(raw: object, faults: FieldFaults, path: Path, *, v2: bool) -> None:
    """Record what Discord would refuse in a message's components; `v2` says that IS_COMPONENTS_V2 is set."""
    most = limits.COMPONENTS_TOTAL_MAX if v2 else limits.ACTION_ROWS_MAX
    _check_list(raw, faults, path, _MESSAGE_V2_TOP if v2 else _MESSAGE_TOP, most)
    everything = list(walk(raw))
    if len(everything) > limits.COMPONENTS_TOTAL_MAX:
        message = f"The maximum number of components is {limits.COMPONENTS_TOTAL_MAX}"
        faults.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", message)
    shown = sum(len(str(each.get("content", ""))) for each in everything if each.get("type") == Kind.TEXT_DISPLAY)
    if shown > limits.TEXT_DISPLAY_TOTAL_MAX:
        message = f"The total displayable text must be {limits.TEXT_DISPLAY_TOTAL_MAX} or fewer in length"
        faults.add(path, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)
    _check_unique(raw, faults, path, set())


def check_modal(raw: object, faults: FieldFaults, path: Path) -> None:
    """Record what Discord would refuse in a modal's components."""
    rows = _check_list(raw, faults, path, _MODAL_TOP, limits.MODAL_COMPONENTS_MAX, shortest=1)
    for index, row in enumerate(rows):
        if row.get("type") == Kind.ACTION_ROW:
            for place, nested in enumerate(children(row)):
                if nested.get("type") != Kind.TEXT_INPUT:
                    _wrong_type(faults, (*path, index, "components", place))
    _check_unique(raw, faults, path, set())


def _check_list(
    raw: object, faults: FieldFaults, path: Path, allowed: frozenset[Kind], longest: int, shortest: int = 0
) -> list[Component]:
    rows = faults.sequence(path, raw, longest)
    if len(rows) < shortest and isinstance(raw, list) and not raw:
        faults.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {shortest} and {longest} in length.")
    right = []
    for index, row in enumerate(rows):
        here = (*path, index)
        if not isinstance(row, dict):
            faults.add(here, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
        elif not _known(row.get("type")):
            faults.choice((*here, "type"), row.get("type"), tuple(sorted(map(int, allowed))))
        elif row["type"] not in allowed:
            _wrong_type(faults, here)
        else:
            right.append(row)
            _CHECKS[Kind(row["type"])](row, faults, here)
    return right


def _known(kind: object) -> bool:
    return isinstance(kind, int) and not isinstance(kind, bool) and kind in _KINDS


def _wrong_type(faults: FieldFaults, path: Path) -> None:
    faults.add(path, "COMPONENT_TYPE_INVALID", "The specified component type is invalid in this context")


def _check_row(row: Component, faults: FieldFaults, path: Path) -> None:
    path = (*path, "components")
    nested = row.get("components")
    if not isinstance(nested, list) or not 1 <= len(nested) <= limits.BUTTONS_IN_ROW_MAX:
        message = f"Must be between 1 and {limits.BUTTONS_IN_ROW_MAX} in length."
        faults.add(path, "BASE_TYPE_BAD_LENGTH", message)
        return
    allowed = SELECTS | {Kind.BUTTON, Kind.TEXT_INPUT}
    _check_list(nested, faults, path, allowed, limits.BUTTONS_IN_ROW_MAX)
    wide = [each for each in nested if isinstance(each, dict) and each.get("type") != Kind.BUTTON]
    if wide and len(nested) > 1:
        for index in range(1, len(nested)):
            message = "The specified component exceeds the maximum width"
            faults.add((*path, index), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", message)


def _check_button(button: Component, faults: FieldFaults, path: Path) -> None:
    if not faults.choice((*path, "style"), button.get("style"), _BUTTON_STYLES):
        return
    style = button["style"]
    wanted = {LINK_STYLE: "url", PREMIUM_STYLE: "sku_id"}.get(style, "custom_id")
    if not button.get(wanted):
        faults.required((*path, wanted))
    elif wanted == "custom_id":
        _custom_id(button, faults, path)
    for other in {"url", "custom_id"} - {wanted}:
        if button.get(other):
            message = "A custom id and url cannot both be specified"
            faults.add((*path, other), "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", message)
    if button.get("label") is not None:
        faults.text((*path, "label"), button["label"], limits.BUTTON_LABEL_MAX)
    elif style != PREMIUM_STYLE and not button.get("emoji"):
        faults.required((*path, "label"))


def _custom_id(component: Component, faults: FieldFaults, path: Path) -> None:
    if component.get("custom_id") is None:
        faults.required((*path, "custom_id"))
    else:
        faults.text((*path, "custom_id"), component["custom_id"], limits.CUSTOM_ID_MAX, 1)


def _check_select(select: Component, faults: FieldFaults, path: Path) -> None:
    _custom_id(select, faults, path)
    if select.get("placeholder") is not None:
        faults.text((*path, "placeholder"), select["placeholder"], limits.SELECT_PLACEHOLDER_MAX)
    least, most = select.get("min_values"), select.get("max_values")
    faults.number((*path, "min_values"), least, 0, limits.SELECT_OPTIONS_MAX)
    faults.number((*path, "max_values"), most, 1, limits.SELECT_OPTIONS_MAX)
    if select["type"] == Kind.STRING_SELECT:
        _check_options(select.get("options"), faults, (*path, "options"))


def _check_options(raw: object, faults: FieldFaults, path: Path) -> None:
    if not isinstance(raw, list) or not 1 <= len(raw) <= limits.SELECT_OPTIONS_MAX:
        faults.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {limits.SELECT_OPTIONS_MAX} in length.")
        return
    seen: set[object] = set()
    for index, option in enumerate(raw):
        given = faults.mapping((*path, index), option)
        for key, longest in limits.SELECT_OPTION_TEXT_MAX.items():
            if given.get(key) is not None:
                faults.text((*path, index, key), given[key], longest)
            elif key != "description":
                faults.required((*path, index, key))
        if str(given.get("value")) in seen:
            message = "The specified option value is already used"
            faults.add((*path, index), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message)
        seen.add(str(given.get("value")))


def _check_text_input(field: Component, faults: FieldFaults, path: Path) -> None:
    _custom_id(field, faults, path)
    faults.choice((*path, "style"), field.get("style"), _TEXT_INPUT_STYLES)
    faults.number((*path, "min_length"), field.get("min_length"), 0, limits.TEXT_INPUT_MAX)
    faults.number((*path, "max_length"), field.get("max_length"), 1, limits.TEXT_INPUT_MAX)
    for key, longest in (("label", limits.TEXT_INPUT_LABEL_MAX), ("value", limits.TEXT_INPUT_MAX)):
        if field.get(key) is not None:
            faults.text((*path, key), field[key], longest)


def _check_label(label: Component, faults: FieldFaults, path: Path) -> None:
    if label.get("label") is None:
        faults.required((*path, "label"))
    else:
        faults.text((*path, "label"), label["label"], limits.TEXT_INPUT_LABEL_MAX, 1)
    inner = label.get("component")
    if not isinstance(inner, dict):
        faults.required((*path, "component"))
    elif not _known(inner.get("type")) or inner["type"] not in _IN_LABEL:
        _wrong_type(faults, (*path, "component"))
    else:
        _CHECKS[Kind(inner["type"])](inner, faults, (*path, "component"))


def _check_section(section: Component, faults: FieldFaults, path: Path) -> None:
    _check_list(section.get("components"), faults, (*path, "components"), frozenset({Kind.TEXT_DISPLAY}), 3, 1)
    accessory = section.get("accessory")
    if not isinstance(accessory, dict):
        faults.required((*path, "accessory"))
    elif not _known(accessory.get("type")) or accessory["type"] not in {Kind.BUTTON, Kind.THUMBNAIL}:
        _wrong_type(faults, (*path, "accessory"))
    else:
        _CHECKS[Kind(accessory["type"])](accessory, faults, (*path, "accessory"))


def _check_container(container: Component, faults: FieldFaults, path: Path) -> None:
    within = container.get("components")
    _check_list(within, faults, (*path, "components"), _IN_CONTAINER, limits.COMPONENTS_TOTAL_MAX)


def _check_text_display(text: Component, faults: FieldFaults, path: Path) -> None:
    if not text.get("content"):
        faults.required((*path, "content"))
    else:
        faults.text((*path, "content"), text["content"], limits.TEXT_DISPLAY_TOTAL_MAX)


def _media(key: str) -> Callable[[Component, FieldFaults, Path], None]:
    def check(component: Component, faults: FieldFaults, path: Path) -> None:
        media = faults.mapping((*path, key), component.get(key))
        if not media.get("url"):
            faults.required((*path, key, "url"))

    return check


def _check_gallery(gallery: Component, faults: FieldFaults, path: Path) -> None:
    items = gallery.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= 10:  # noqa: PLR2004 - documented: Media Gallery
        faults.add((*path, "items"), "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 10 in length.")
        return
    for index, item in enumerate(items):
        _media("media")(faults.mapping((*path, "items", index), item), faults, (*path, "items", index))


def _check_custom_id_only(component: Component, faults: FieldFaults, path: Path) -> None:
    _custom_id(component, faults, path)


def _check_nothing(_: Component, __: FieldFaults, ___: Path) -> None:
    """A separator has nothing that can be wrong."""


_CHECKS: Final[dict[Kind, Callable[[Component, FieldFaults, Path], None]]] = {
    Kind.ACTION_ROW: _check_row,
    Kind.BUTTON: _check_button,
    **dict.fromkeys(SELECTS, _check_select),
    Kind.TEXT_INPUT: _check_text_input,
    Kind.SECTION: _check_section,
    Kind.TEXT_DISPLAY: _check_text_display,
    Kind.THUMBNAIL: _media("media"),
    Kind.MEDIA_GALLERY: _check_gallery,
    Kind.FILE: _media("file"),
    Kind.SEPARATOR: _check_nothing,
    Kind.CONTAINER: _check_container,
    Kind.LABEL: _check_label,
    Kind.FILE_UPLOAD: _check_custom_id_only,
    Kind.RADIO_GROUP: _check_custom_id_only,
    Kind.CHECKBOX_GROUP: _check_custom_id_only,
    Kind.CHECKBOX: _check_custom_id_only,
}


def _check_unique(raw: object, faults: FieldFaults, path: Path, seen: set[str]) -> None:
    """Record custom ids that occur twice, disabled components included."""
    for index, component in enumerate(raw if isinstance(raw, list) else []):
        if not isinstance(component, dict):
            continue
        custom_id = component.get("custom_id")
        if isinstance(custom_id, str):
            if custom_id in seen:
                message = "Component custom id cannot be duplicated"
                faults.add((*path, index, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", message)
            seen.add(custom_id)
        _check_unique(component.get("components"), faults, (*path, index, "components"), seen)
        for key in ("accessory", "component"):
            nested = component.get(key)
            if isinstance(nested, dict) and isinstance(nested.get("custom_id"), str):
                seen.add(nested["custom_id"])
