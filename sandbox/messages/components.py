"""Components as a message carries them: numbered, with Discord's defaults filled in. Pure."""

from typing import Any

from sandbox.messages.component_rules import SELECTS, walk
from sandbox.messages.component_shapes import NAMES, NESTED, Component, Kind

_MEDIA_KEYS = ("media", "file")


def rendered(components: list[Any], media_id: str) -> list[Component]:
    """Return checked components as Discord answers with them.

    Those without an `id` get the next free number, in the order of a walk from outside in. media_id: stands for
    whatever media they show.
    """
    taken = {component.get("id") for component in walk(components)}
    free = (number for number in range(1, 10_000) if number not in taken)

    def one(given: Component) -> Component:
        known = NAMES[given["type"]]
        kept = {key: value for key, value in given.items() if value is not None and key in known}
        component: Component = {**kept, "id": kept.get("id") or next(free)}
        for key in NESTED.get(given["type"], ()):
            if key in kept:
                component[key] = [one(each) for each in kept[key]] if isinstance(kept[key], list) else one(kept[key])
        return component | _defaults(component, media_id)

    return [one(component) for component in components]


def _defaults(component: Component, media_id: str) -> Component:
    kind = component["type"]
    extra: Component = {}
    if kind in SELECTS:
        extra = _select_defaults(component)
    elif kind == Kind.CONTAINER:
        extra = {"accent_color": component.get("accent_color"), "spoiler": component.get("spoiler", False)}
    elif kind == Kind.SEPARATOR:
        extra = {"spacing": component.get("spacing", 1), "divider": component.get("divider", True)}
    elif kind == Kind.MEDIA_GALLERY:
        extra = {"items": [_media_item(item, media_id) for item in component["items"]]}
    elif kind in {Kind.THUMBNAIL, Kind.FILE}:
        extra = _media_item(component, media_id)
        if kind == Kind.FILE:
            extra = {"file": extra["file"], "spoiler": extra["spoiler"], "name": None, "size": None}
    elif kind == Kind.BUTTON:
        extra = _button_defaults(component)
    return extra


def _button_defaults(button: Component) -> Component:
    extra: Component = {"emoji": _emoji(button["emoji"])} if "emoji" in button else {}
    return extra | ({"sku_id": str(button["sku_id"])} if "sku_id" in button else {})


def _select_defaults(menu: Component) -> Component:
    extra: Component = {"min_values": menu.get("min_values", 1), "max_values": menu.get("max_values", 1)}
    if menu["type"] == Kind.STRING_SELECT:
        extra["options"] = [_option(option) for option in menu["options"]]
    elif "default_values" in menu:
        extra["default_values"] = [{"id": str(row["id"]), "type": row["type"]} for row in menu["default_values"]]
    return extra


def _option(option: Component) -> Component:
    shown = {key: option[key] for key in ("label", "value", "description", "default") if option.get(key) is not None}
    return shown | ({"emoji": _emoji(option["emoji"])} if option.get("emoji") is not None else {})


def _emoji(emoji: Component) -> Component:
    shown: Component = {"name": emoji.get("name") or "_"}
    if emoji.get("id") is not None:
        shown["id"] = str(emoji["id"])
    return shown | ({"animated": emoji["animated"]} if emoji.get("animated") is not None else {})


def _media_item(item: Component, media_id: str) -> Component:
    shown = {key: _media(item[key]["url"], media_id) for key in _MEDIA_KEYS if key in item}
    return shown | {"description": item.get("description"), "spoiler": bool(item.get("spoiler"))}


def _media(url: str, media_id: str) -> Component:
    return {"url": url, "id": media_id, "proxy_url": url}
