"""What a user can do: use a command, type into an option, press, pick, submit; the event that tells of it. Pure."""

from typing import Any

from sandbox import limits
from sandbox.commands.rules import CHAT_INPUT
from sandbox.interactions import callbacks
from sandbox.interactions.interactions import Act, Interaction, Kind
from sandbox.interactions.options import (
    CHANNEL,
    MENTIONABLE,
    ROLE,
    USER,
    ActError,
    Place,
    Resolved,
    UnknownCommandError,
    fill,
)
from sandbox.messages import component_rules
from sandbox.messages.component_shapes import Kind as Component
from sandbox.world.applications import Application
from sandbox.world.guilds import ChannelType
from sandbox.world.objects import Json
from sandbox.world.permissions import ALL, Permission
from sandbox.world.users import User

_USER_COMMAND, _MESSAGE_COMMAND = 2, 3
_TO_ACT = int(Permission.VIEW_CHANNEL | Permission.USE_APPLICATION_COMMANDS)
_GUILD_CONTEXT, _BOT_DM_CONTEXT = 0, 1
# Menus resolve what is picked as options of the same kind do.
_OPTION_TYPES = {
    Component.USER_SELECT: USER,
    Component.CHANNEL_SELECT: CHANNEL,
    Component.ROLE_SELECT: ROLE,
    Component.MENTIONABLE_SELECT: MENTIONABLE,
}
_CONTEXT_NAMES = {_GUILD_CONTEXT: "in a guild", _BOT_DM_CONTEXT: "in private"}


def use_command(application: Application, place: Place, user: User, text: str, values: Json) -> Act:
    """Use the slash command `text`: its name, then its sub-command's, separated by spaces."""
    command, path = _slash(application, place, user, text)
    resolved = Resolved(place, user.id)
    options = fill(command, path, values, resolved)
    return Act(Kind.COMMAND, text, _invoked(command, resolved, options=options))


def type_option(application: Application, place: Place, user: User, text: str, values: Json, focused: str) -> Act:
    """Type into the option `focused` of a slash command, which asks the bot for choices."""
    command, path = _slash(application, place, user, text)
    resolved = Resolved(place, user.id)
    options = fill(command, path, values, resolved, focused)
    return Act(Kind.AUTOCOMPLETE, text, _invoked(command, resolved, options=options))


def use_on(application: Application, place: Place, user: User, name: str, target: User | Json) -> Act:
    """Use a context-menu command on a user or on a message."""
    kind = _USER_COMMAND if isinstance(target, User) else _MESSAGE_COMMAND
    command = _find(application, place, user, name, kind)
    resolved = Resolved(place, user.id)
    if isinstance(target, User):
        resolved.user(target.id)
        return Act(Kind.COMMAND, name, _invoked(command, resolved, target_id=target.id))
    resolved.message(target)
    return Act(Kind.COMMAND, name, _invoked(command, resolved, target_id=target["id"]))


def _slash(application: Application, place: Place, user: User, text: str) -> tuple[Json, list[str]]:
    name, *path = text.split() or [""]
    return _find(application, place, user, name, CHAT_INPUT), path


def _find(application: Application, place: Place, user: User, name: str, kind: int) -> Json:
    guild_id = None if place.guild is None else place.guild.id
    command = application.commands.named(name, guild_id, kind)
    if command is None:
        names = ", ".join(application.commands.names(guild_id, kind)) or "none"
        raise UnknownCommandError(f"no such command {name!r} is registered; registered: {names}")
    context = _BOT_DM_CONTEXT if place.guild is None else _GUILD_CONTEXT
    contexts = command.get("contexts")
    allowed = command.get("dm_permission", True) or place.guild is not None if contexts is None else context in contexts
    if not allowed:
        raise ActError(f"the command {name!r} cannot be used {_CONTEXT_NAMES[context]}")
    needed = command.get("default_member_permissions")
    granted = place.world.permissions_in(place.channel, user.id)
    if place.guild is not None and needed is not None and not _may_use(granted, int(needed)):
        raise ActError(f"{user.username} lacks the permissions ({needed}) that {name!r} needs")
    return command


def _may_use(granted: int, needed: int) -> bool:
    """A `default_member_permissions` of 0 keeps everyone but administrators out, as documented."""
    return granted == ALL or (needed != 0 and granted & needed == needed)


def _invoked(command: Json, resolved: Resolved, **more: Any) -> Json:  # noqa: ANN401 - any JSON value
    data: Json = {"id": command["id"], "name": command["name"], "type": command["type"], **more}
    if resolved.tables:
        data["resolved"] = resolved.tables
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    return data


def use_component(place: Place, user: User, message: Json, custom_id: str, values: list[str] | None) -> Act:
    """Press a button of a message, or pick `values` from its menu."""
    usable = [c for c in component_rules.walk(message["components"]) if c.get("custom_id")]
    component = next((each for each in usable if each["custom_id"] == custom_id), None)
    if component is None:
        there = [each["custom_id"] for each in usable] or "none"
        raise ActError(f"the message has no component {custom_id!r}; it has: {there}")
    if component.get("disabled"):
        raise ActError(f"the component {custom_id!r} is disabled")
    data: Json = {"custom_id": custom_id, "component_type": component["type"], "id": component["id"]}
    if component["type"] == Component.BUTTON:
        if values is not None:
            raise ActError(f"{custom_id!r} is a button and takes no values")
    else:
        resolved = Resolved(place, user.id)
        data["values"] = _picked(component, values or [], resolved)
        if resolved.tables:
            data["resolved"] = resolved.tables
    return Act(Kind.COMPONENT, custom_id, data, source=message)


def _picked(menu: Json, values: list[str], resolved: Resolved) -> list[str]:
    name = menu["custom_id"]
    least, most = menu.get("min_values", 1), menu.get("max_values", 1)
    if not least <= len(values) <= most:
        raise ActError(f"the menu {name!r} takes {least} to {most} values, not {len(values)}")
    if menu["type"] == Component.STRING_SELECT:
        offered = [option["value"] for option in menu["options"]]
        wrong = [value for value in values if value not in offered]
    else:
        offered = ["whatever of its kind is here"]
        wrong = [value for value in values if not resolved.object(_OPTION_TYPES[menu["type"]], value)]
    if wrong:
        raise ActError(f"the menu {name!r} does not offer {wrong[0]!r}; it offers {offered}")
    return values


def submit_modal(opened: Interaction, fields: dict[str, Any]) -> Act:
    """Submit the modal that `opened` was answered with; `fields` are values by the fields' custom ids."""
    if opened.response is None or opened.response["type"] != callbacks.Callback.MODAL:
        raise ActError("that interaction was not answered with a modal")
    modal = opened.response["data"]
    inputs = {c["custom_id"]: c for c in component_rules.walk(modal["components"]) if c.get("custom_id")}
    unknown = sorted(set(fields) - set(inputs))
    if unknown:
        raise ActError(f"the modal has no field {unknown[0]!r}; it has {sorted(inputs)}")
    for custom_id, declared in inputs.items():
        _check_field(declared, fields.get(custom_id))
    numbers = iter(range(1, 1_000))
    data = {
        "custom_id": modal["custom_id"],
        "components": [_submitted(row, fields, numbers) for row in modal["components"]],
    }
    return Act(Kind.MODAL, modal["custom_id"], data, source=opened.act.source, via=opened)


def _check_field(declared: Json, value: object) -> None:
    name, required = declared["custom_id"], declared.get("required", True)
    if value is None or value in ("", []):
        if required is not False:
            raise ActError(f"the field {name!r} is required")
    elif declared["type"] == Component.TEXT_INPUT:
        least, most = declared.get("min_length") or 0, declared.get("max_length") or limits.TEXT_INPUT_MAX
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise ActError(f"the field {name!r} takes a text of {least} to {most} characters")


def _submitted(component: Json, fields: dict[str, Any], numbers: Any) -> Json:  # noqa: ANN401 - an iterator of ints
    shown: Json = {"type": component["type"], "id": component.get("id") or next(numbers)}
    if component.get("custom_id"):
        value = fields.get(component["custom_id"])
        key = "value" if component["type"] in {Component.TEXT_INPUT, Component.CHECKBOX} else "values"
        shown |= {"custom_id": component["custom_id"], key: value if value is not None else _nothing(key)}
    if component.get("components") is not None:
        shown["components"] = [_submitted(each, fields, numbers) for each in component["components"]]
    if component.get("component") is not None:
        shown["component"] = _submitted(component["component"], fields, numbers)
    return shown


def _nothing(key: str) -> str | list[str]:
    return "" if key == "value" else []


def event(interaction: Interaction, place: Place, locale: str) -> Json:
    """Return INTERACTION_CREATE for an interaction that was opened. locale: the user's, such as `en-US`."""
    act, user, world = interaction.act, interaction.user, place.world
    granted = world.permissions_in(place.channel, interaction.application_id)
    shown: Json = {
        "id": interaction.id,
        "application_id": interaction.application_id,
        "type": int(act.kind),
        "token": interaction.token,
        "version": 1,
        "data": act.data,
        "locale": locale,
        "channel_id": place.channel.id,
        "channel": place.channel_json(place.channel, user.id),
        "app_permissions": str(granted),
        "entitlements": [],
        "attachment_size_limit": limits.ATTACHMENT_SIZE_BYTES,
    }
    if act.source is not None:
        shown["message"] = act.source
    if place.guild is None:
        return shown | {
            "user": user.as_json(),
            "context": _BOT_DM_CONTEXT,
            "authorizing_integration_owners": {"0": "0"},
        }
    return shown | {
        "guild_id": place.guild.id,
        "guild": {"id": place.guild.id, "locale": "en-US", "features": []},
        "guild_locale": "en-US",
        "member": place.member_json(user.id),
        "context": _GUILD_CONTEXT,
        "authorizing_integration_owners": {"0": place.guild.id},
    }


def may_act(place: Place, user: User) -> None:
    """Raise ActError unless the user is in the channel and may use an application there."""
    granted = place.world.permissions_in(place.channel, user.id)
    if place.channel.kind is not ChannelType.DM and granted & _TO_ACT != _TO_ACT:
        raise ActError(f"{user.username} may not use applications in channel {place.channel.id}")
