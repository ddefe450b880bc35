"""Components as a message carries them: numbered, with Discord's defaults filled in. Pure."""

from typing import Any

from sandbox.messages.component_rules import SELECTS, Component, Kind

_MEDIA_KEYS = ("media", "file")


def rendered(components: list[Any], media_id: str) -> list[Component]:
    """Return checked components as Discord answers with them.

    Those without an `id` get the next free number, in the order of a walk from outside in. media_id: stands for
    whatever media they show.
    """
    taken = {each for each in _ids(components) if each}
    free = (number for number in range(1, 10_000) if number not in taken)

    def one(given: Component) -> Component:
        kept = {key: value for key, value in given.items() if value is not None}
        component: Component = {**kept, "id": kept.get("id") or next(free)}
        component |= {key: [one(each) for each in kept[key]] for key in ("components",) if key in kept}
        component |= {key: one(kept[key]) for key in ("accessory", "component") if key in kept}
        return component | _defaults(component, media_id)

    return [one(component) for component in components]


def _ids(components: list[Any]) -> list[int]:
    found = []
    for component in components:
        found.append(component.get("id") or 0)
        nested = [component.get(key) for key in ("accessory", "component") if component.get(key)]
        found += _ids([*(component.get("components") or []), *nested])
    return found


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
    if "emoji" in component:
        extra["emoji"] = _without_nulls({"name": "_", **_without_nulls(component["emoji"])})
    return extra


def _select_defaults(menu: Component) -> Component:
    extra: Component = {"min_values": menu.get("min_values", 1), "max_values": menu.get("max_values", 1)}
    if menu["type"] == Kind.STRING_SELECT:
        extra["options"] = [_without_nulls(option) for option in menu["options"]]
    return extra


def _media_item(item: Component, media_id: str) -> Component:
    shown = {key: {**item[key], "id": media_id, "proxy_url": item[key]["url"]} for key in _MEDIA_KEYS if key in item}
    return shown | {"description": item.get("description"), "spoiler": bool(item.get("spoiler"))}


def _without_nulls(given: Component) -> Component:
    return {key: value for key, value in given.items() if value is not None}
