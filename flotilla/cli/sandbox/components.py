"""Components of messages and of forms as a person sees them, with the custom ids to use them by. Pure."""

from collections.abc import Iterable
from typing import Any

from flotilla.cli.drawing import Drawn, Text
from flotilla.cli.sandbox.text import barred, one_line, packed, wrapped

Json = dict[str, Any]
# Types of component, and the button styles without a custom id. Source: Discord, "Component Reference".
_ROW, _BUTTON, _STRING_SELECT, _TEXT_INPUT = 1, 2, 3, 4
_SELECTS = {_STRING_SELECT: "options", 5: "users", 6: "roles", 7: "users and roles", 8: "channels"}
_SECTION, _TEXT, _THUMBNAIL, _GALLERY, _FILE, _SEPARATOR, _CONTAINER, _LABEL = 9, 10, 11, 12, 13, 14, 17, 18
_FORM_PARTS = {19: "a file", 21: "one of", 22: "some of", 23: "true or false"}
_SEPARATOR_CELLS = 24


def component_lines(components: Iterable[Json], width: int) -> list[Drawn]:
    """Return components as lines of at most `width` cells, as far as what they show can be folded."""
    return [line for component in components for line in _lines(component, width)]


def _lines(component: Json, width: int) -> list[Drawn]:
    kind = component["type"]
    if kind == _ROW:
        return packed((piece for each in component["components"] for piece in _lines(each, width)), width)
    if kind == _CONTAINER:
        colour = component.get("accent_color")
        inner = component_lines(component["components"], width - 2)
        return barred(inner, f"#{colour:06x}" if colour else "dim")
    if kind == _SECTION:
        return component_lines([*component["components"], component["accessory"]], width)
    if kind == _LABEL:
        return _label(component, width)
    return _leaf(component, width)


def _leaf(component: Json, width: int) -> list[Drawn]:
    kind = component["type"]
    if kind == _BUTTON:
        return [_button(component)]
    if kind in _SELECTS:
        return wrapped(_menu(component), width)
    if kind == _TEXT_INPUT:
        return wrapped(_field(component, component.get("label") or "", _text_rules(component)), width)
    if kind in _FORM_PARTS:
        return wrapped(_field(component, "", _form_rules(component)), width)
    if kind == _TEXT:
        return wrapped(component["content"], width)
    if kind == _SEPARATOR:
        return [Text("─" * min(width, _SEPARATOR_CELLS) if component.get("divider", True) else "", style="dim")]
    return [line for each in _media(component) for line in wrapped(each, width, "dim")]


def _button(button: Json) -> Drawn:
    emoji = (button.get("emoji") or {}).get("name") or ""
    face = " ".join(part for part in (one_line(emoji), one_line(button.get("label") or "")) if part)
    use = button.get("custom_id") or button.get("url") or f"sku {button.get('sku_id')}"
    return _used_by(f"[ {face} ]", one_line(use), button)


def _used_by(face: str, use: str, component: Json) -> Drawn:
    off = " (disabled)" if component.get("disabled") else ""
    return Text.assemble((face, "dim" if off else "bold"), (f" {use}{off}", "dim"))


def _menu(menu: Json) -> Drawn:
    face = _used_by(
        f"[ {one_line(menu.get('placeholder') or 'Make a selection')} ▾ ]", one_line(menu["custom_id"]), menu
    )
    offered = _choices(menu) if menu["type"] == _STRING_SELECT else f"{_SELECTS[menu['type']]}, by id"
    return Text.assemble(face, f": {offered}", (_span(menu), "dim"))


def _span(menu: Json) -> str:
    least, most = menu.get("min_values", 1), menu.get("max_values", 1)
    if (least, most) == (1, 1):
        return ""
    return f" ({least})" if least == most else f" ({least} to {most})"


def _choices(component: Json) -> str:
    shown = []
    for option in component.get("options") or ():
        value, label = one_line(option.get("value")), one_line(option.get("label"))
        shown.append(value if value == label else f"{value} ({label})")
    return ", ".join(shown)


def _label(label: Json, width: int) -> list[Drawn]:
    inner = label["component"]
    title = one_line(label["label"])
    if inner["type"] == _TEXT_INPUT:
        return wrapped(_field(inner, title, _text_rules(inner)), width)
    if inner["type"] in _FORM_PARTS:
        return wrapped(_field(inner, title, _form_rules(inner)), width)
    return [*wrapped(title, width, "bold"), *_lines(inner, width)]


def _field(field: Json, title: str, rules: str) -> Drawn:
    needed = "required" if field.get("required", True) else "optional"
    shown = one_line(title)
    return Text.assemble(
        (one_line(field["custom_id"]), "bold"), f"  {shown}" if shown else "", (f"  ({needed}{rules})", "dim")
    )


def _text_rules(field: Json) -> str:
    least, most = field.get("min_length"), field.get("max_length")
    if least is None and most is None:
        return ""
    return f", {least or 0} to {most or 4000} characters"


def _form_rules(part: Json) -> str:
    choices = _choices(part)
    return f", {_FORM_PARTS[part['type']]}" + (f" {choices}" if choices else "")


def _media(component: Json) -> list[str]:
    """Return what stands for pictures and files; for a type this release does not know, its number."""
    if component["type"] == _GALLERY:
        return [f"image {item['media']['url']}" for item in component["items"]]
    for kind, key, word in ((_THUMBNAIL, "media", "image"), (_FILE, "file", "file")):
        if component["type"] == kind:
            return [f"{word} {component[key]['url']}"]
    return [f"a component of type {component['type']}"]
