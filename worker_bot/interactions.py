"""What a user did, as the payload of INTERACTION_CREATE has it. Pure. See Discord, Receiving and Responding."""

from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]
_SUBCOMMANDS = frozenset({1, 2})


def name_of(payload: Json) -> str:
    """Return what is used: a command with its subcommands, or the custom id of a component or modal."""
    data = payload["data"]
    if "custom_id" in data:
        return str(data["custom_id"])
    names, options = [str(data["name"])], data.get("options")
    while options and options[0].get("type") in _SUBCOMMANDS:
        names.append(str(options[0]["name"]))
        options = options[0].get("options")
    return " ".join(names)


def options_of(payload: Json) -> dict[str, Any]:
    """Return what was given with it: options of a command, choices of a menu, texts of a modal, by their names.

    The target of a command of a user's or message's menu is `target`.
    """
    data = payload["data"]
    if "custom_id" in data:
        if "values" in data:
            return {"values": ", ".join(map(str, data["values"]))}
        return dict(_texts(data.get("components") or ()))
    options = data.get("options") or ()
    while options and options[0].get("type") in _SUBCOMMANDS:
        options = options[0].get("options") or ()
    given = {str(option["name"]): option.get("value") for option in options}
    return {"target": str(data["target_id"])} | given if "target_id" in data else given


def _texts(components: Iterable[Json]) -> Iterable[tuple[str, Any]]:
    """Yield the inputs of a modal, in whatever rows, labels and sections they lie."""
    for component in components:
        if "custom_id" in component and ("value" in component or "values" in component):
            value = component["value"] if "value" in component else ", ".join(map(str, component["values"]))
            yield str(component["custom_id"]), value
        nested = component.get("components") or ([component["component"]] if "component" in component else [])
        yield from _texts(nested)
