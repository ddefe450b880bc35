"""What a user's slash command looks like on the gateway: the INTERACTION_CREATE event. Pure."""

from typing import Any

from sandbox import limits
from sandbox.commands.rules import SUB_COMMAND, SUB_COMMAND_GROUP
from sandbox.world import objects
from sandbox.world.objects import Home, Json, User

_STRING, _INTEGER, _BOOLEAN, _USER, _CHANNEL, _ROLE, _MENTIONABLE, _NUMBER = 3, 4, 5, 6, 7, 8, 9, 10
_PYTHON_TYPES: dict[int, tuple[type, ...]] = {
    _STRING: (str,),
    _INTEGER: (int,),
    _BOOLEAN: (bool,),
    _NUMBER: (int, float),
}


class InvocationError(Exception):
    """The command was not registered, or not with these options. The message says what there is."""


def event(application_id: str, interaction_id: str, token: str, home: Home, user: User, command: Json) -> Json:
    """Return INTERACTION_CREATE for `command`, the result of `command_data`."""
    home_channel = objects.channel(home)
    shown = {key: home_channel[key] for key in ("id", "type", "name", "parent_id", "flags", "guild_id")}
    return {
        "id": interaction_id,
        "application_id": application_id,
        "type": 2,
        "token": token,
        "version": 1,
        "data": command,
        "guild_id": home.guild_id,
        "guild": {"id": home.guild_id, "locale": "en-US", "features": []},
        "guild_locale": "en-US",
        "locale": "en-US",
        "channel_id": home.channel_id,
        "channel": shown | {"permissions": objects.PERMISSIONS},
        "member": objects.member(user) | {"permissions": objects.PERMISSIONS},
        "app_permissions": objects.PERMISSIONS,
        "entitlements": [],
        "authorizing_integration_owners": {"0": home.guild_id},
        "context": 0,
        "attachment_size_limit": limits.ATTACHMENT_SIZE_BYTES,
    }


def command_data(command: Json, path: list[str], values: Json, home: Home) -> Json:
    """Return the `data` of an interaction: the invoked command with the options a user filled in.

    path: the sub-command (after its group, if any) of the command; empty when it has none.
    Raises InvocationError if the path or the values do not fit the command.
    """
    levels, declared = _descend(command, path)
    _check_names(command["name"], declared, values)
    resolved: Json = {}
    options = [
        _option(option, values[option["name"]], home, resolved) for option in declared if option["name"] in values
    ]
    for level in reversed(levels):
        options = [{"type": level["type"], "name": level["name"], "options": options}]
    invoked: Json = {"id": command["id"], "name": command["name"], "type": command["type"], "options": options}
    if resolved:
        invoked["resolved"] = resolved
    if "guild_id" in command:
        invoked["guild_id"] = command["guild_id"]
    return invoked


def _descend(command: Json, path: list[str]) -> tuple[list[Json], list[Json]]:
    levels: list[Json] = []
    options: list[Json] = command.get("options", [])
    for name in path:
        found = next((o for o in options if o["name"] == name and o["type"] in {SUB_COMMAND, SUB_COMMAND_GROUP}), None)
        if found is None:
            raise InvocationError(f"/{command['name']} has no sub-command {name!r}; it has {_names(options)}")
        levels.append(found)
        options = found.get("options", [])
    if any(option["type"] in {SUB_COMMAND, SUB_COMMAND_GROUP} for option in options):
        raise InvocationError(f"/{command['name']} needs a sub-command, one of {_names(options)}, separated by a space")
    return levels, options


def _check_names(name: str, declared: list[Json], values: Json) -> None:
    unknown = sorted(set(values) - {option["name"] for option in declared})
    if unknown:
        raise InvocationError(f"/{name} has no option {unknown[0]!r}; it has {_names(declared)}")
    missing = [option["name"] for option in declared if option.get("required") and option["name"] not in values]
    if missing:
        raise InvocationError(f"/{name} requires the option {missing[0]!r}")


def _option(option: Json, value: Any, home: Home, resolved: Json) -> Json:  # noqa: ANN401 - any JSON value
    kind, name = option["type"], option["name"]
    if kind in _PYTHON_TYPES:
        is_stray_bool = isinstance(value, bool) and kind != _BOOLEAN
        if not isinstance(value, _PYTHON_TYPES[kind]) or is_stray_bool:
            raise InvocationError(f"option {name!r} takes a value of Discord's option type {kind}, not {value!r}")
        choices = option.get("choices") or []
        if choices and not option.get("autocomplete") and value not in [choice["value"] for choice in choices]:
            raise InvocationError(
                f"option {name!r} takes one of {[choice['value'] for choice in choices]}, not {value!r}"
            )
    else:
        value = str(value)
        if not value.isdigit():
            raise InvocationError(f"option {name!r} takes an id, not {value!r}")
        _resolve(kind, value, home, resolved)
    return {"type": kind, "name": name, "value": value}


def _resolve(kind: int, object_id: str, home: Home, resolved: Json) -> None:
    if kind in {_USER, _MENTIONABLE}:
        user = home.owner if object_id == home.owner.id else User(object_id, f"user-{object_id}")
        resolved.setdefault("users", {})[object_id] = user.as_json()
        resolved.setdefault("members", {})[object_id] = objects.member(user) | {"permissions": objects.PERMISSIONS}
    elif kind == _CHANNEL and object_id == home.channel_id:
        shown = objects.channel(home) | {"permissions": objects.PERMISSIONS}
        resolved.setdefault("channels", {})[object_id] = shown
    elif kind == _ROLE and object_id == home.guild_id:
        resolved.setdefault("roles", {})[object_id] = objects.everyone_role(object_id)
    else:
        raise InvocationError(f"{object_id} is no channel or role of the application's guild {home.guild_id}")


def _names(options: list[Json]) -> list[str]:
    return [option["name"] for option in options]
