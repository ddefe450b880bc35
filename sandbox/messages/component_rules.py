"""Discord's rules for components, in messages and in modals: what a 50035 says about them. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.messages.component_shapes import LINK_STYLE, NESTED, PREMIUM_STYLE, SHAPES, Component, Kind, is_known
from sandbox.shapes import Path

SELECTS: Final = frozenset(
    {
        Kind.STRING_SELECT,
        Kind.USER_SELECT,
        Kind.ROLE_SELECT,
        Kind.MENTIONABLE_SELECT,
        Kind.CHANNEL_SELECT,
    }
)
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
_HOLDS_ROWS = (Kind.ACTION_ROW, Kind.CONTAINER)
_MODAL_TOP = frozenset({Kind.ACTION_ROW, Kind.LABEL, Kind.TEXT_DISPLAY})


def children(component: Component) -> Iterator[Component]:
    """Yield what lies directly within a component."""
    for key in NESTED.get(Kind(component["type"]), ()) if is_known(component.get("type")) else ():
        nested = component.get(key)
        yield from (each for each in (nested if isinstance(nested, list) else [nested]) if isinstance(each, dict))


def walk(components: object) -> Iterator[Component]:
    """Yield every component, outer ones first."""
    for component in components if isinstance(components, list) else []:
        if isinstance(component, dict):
            yield component
            yield from walk(list(children(component)))


def check_message(raw: object, faults: FieldFaults, path: Path, *, v2: bool) -> None:
    """Record what Discord would refuse in a message's components; `v2` says that IS_COMPONENTS_V2 is set."""
    most = limits.COMPONENTS_TOTAL_MAX if v2 else limits.ACTION_ROWS_MAX
    before = faults.count
    _check_list(raw, faults, path, _MESSAGE_V2_TOP if v2 else _MESSAGE_TOP, most)
    _refuse_inputs(raw, faults, path)
    if faults.count > before:
        return  # only what is nested as it must be can be walked however deep it goes
    everything = list(walk(raw))
    if len(everything) > limits.COMPONENTS_TOTAL_MAX:
        message = f"The maximum number of components is {limits.COMPONENTS_TOTAL_MAX}"
        faults.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", message)
    shown = sum(len(str(each.get("content", ""))) for each in everything if each.get("type") == Kind.TEXT_DISPLAY)
    if shown > limits.TEXT_DISPLAY_TOTAL_MAX:
        message = f"The total displayable text must be {limits.TEXT_DISPLAY_TOTAL_MAX} or fewer in length"
        faults.add(path, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)
    if faults.count == before:
        _check_unique(raw, faults, path, set())


def check_modal(raw: object, faults: FieldFaults, path: Path) -> None:
    """Record what Discord would refuse in a modal's components."""
    before = faults.count
    rows = _check_list(raw, faults, path, _MODAL_TOP, limits.MODAL_COMPONENTS_MAX, shortest=1)
    for index, row in enumerate(rows):
        if row.get("type") == Kind.ACTION_ROW:
            for place, nested in enumerate(children(row)):
                if nested.get("type") != Kind.TEXT_INPUT:
                    _wrong_type(faults, (*path, index, "components", place))
    if faults.count == before:
        _check_unique(raw, faults, path, set())


def _refuse_inputs(raw: object, faults: FieldFaults, path: Path) -> None:
    """Record text inputs in the rows of a message, also in a container: they are for modals."""
    for index, component in enumerate(raw if isinstance(raw, list) else []):
        if isinstance(component, dict) and component.get("type") in _HOLDS_ROWS:
            _refuse_inputs(component.get("components"), faults, (*path, index, "components"))
        elif isinstance(component, dict) and component.get("type") == Kind.TEXT_INPUT:
            _wrong_type(faults, (*path, index))


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
        elif not is_known(row.get("type")):
            faults.choice((*here, "type"), row.get("type"), tuple(sorted(map(int, allowed))))
        elif row["type"] not in allowed:
            _wrong_type(faults, here)
        else:
            right.append(row)
            _check_one(row, faults, here)
    return right


def _check_one(component: Component, faults: FieldFaults, path: Path) -> None:
    kind = Kind(component["type"])
    if SHAPES[kind](component, faults, path) and kind in _CHECKS:
        _CHECKS[kind](component, faults, path)


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
    style = button["style"]
    wanted = {LINK_STYLE: "url", PREMIUM_STYLE: "sku_id"}.get(style, "custom_id")
    if not button.get(wanted):
        faults.required((*path, wanted))
    for other in {"url", "custom_id"} - {wanted}:
        if button.get(other):
            message = "A custom id and url cannot both be specified"
            faults.add((*path, other), "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", message)
    if style != PREMIUM_STYLE and button.get("label") is None and not button.get("emoji"):
        faults.required((*path, "label"))


def _check_select(select: Component, faults: FieldFaults, path: Path) -> None:
    least, most = select.get("min_values"), select.get("max_values")
    if (1 if least is None else least) > (1 if most is None else most):
        message = "min_values must not be above max_values"
        faults.add((*path, "min_values"), "SELECT_COMPONENT_MIN_VALUES_GREATER_THAN_MAX_VALUES", message)
    seen: set[str] = set()
    for index, option in enumerate(select.get("options") or []):
        if option["value"] in seen:
            message = "The specified option value is already used"
            faults.add((*path, "options", index), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message)
        seen.add(option["value"])


def _check_label(label: Component, faults: FieldFaults, path: Path) -> None:
    inner = label.get("component")
    if not isinstance(inner, dict):
        faults.required((*path, "component"))
    elif not is_known(inner.get("type")) or inner["type"] not in _IN_LABEL:
        _wrong_type(faults, (*path, "component"))
    else:
        _check_one(inner, faults, (*path, "component"))


def _check_section(section: Component, faults: FieldFaults, path: Path) -> None:
    _check_list(section.get("components"), faults, (*path, "components"), frozenset({Kind.TEXT_DISPLAY}), 3, 1)
    accessory = section.get("accessory")
    if not isinstance(accessory, dict):
        faults.required((*path, "accessory"))
    elif not is_known(accessory.get("type")) or accessory["type"] not in {Kind.BUTTON, Kind.THUMBNAIL}:
        _wrong_type(faults, (*path, "accessory"))
    else:
        _check_one(accessory, faults, (*path, "accessory"))


def _check_container(container: Component, faults: FieldFaults, path: Path) -> None:
    within = container.get("components")
    _check_list(within, faults, (*path, "components"), _IN_CONTAINER, limits.COMPONENTS_TOTAL_MAX, 1)


_CHECKS: Final[dict[Kind, Callable[[Component, FieldFaults, Path], None]]] = {
    Kind.ACTION_ROW: _check_row,
    Kind.BUTTON: _check_button,
    **dict.fromkeys(SELECTS, _check_select),
    Kind.SECTION: _check_section,
    Kind.CONTAINER: _check_container,
    Kind.LABEL: _check_label,
}


def _check_unique(raw: object, faults: FieldFaults, path: Path, seen: set[str]) -> None:
    """Record custom ids that occur twice, disabled components included. raw: components that are nested rightly."""
    for index, component in enumerate(raw if isinstance(raw, list) else [raw]):
        here = (*path, index) if isinstance(raw, list) else path
        custom_id = component.get("custom_id") if isinstance(component, dict) else None
        if isinstance(custom_id, str):
            if custom_id in seen:
                message = "Component custom id cannot be duplicated"
                faults.add((*here, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", message)
            seen.add(custom_id)
        if isinstance(component, dict) and is_known(component.get("type")):
            for key in NESTED.get(Kind(component["type"]), ()):
                _check_unique(component.get(key), faults, (*here, key), seen)
