"""The options of a slash command as a user fills them in: checked, nested and resolved. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from sandbox import limits
from sandbox.commands.shapes import SUB_COMMAND, SUB_COMMAND_GROUP
from sandbox.messages.attachments import Attachment
from sandbox.world import objects, permissions
from sandbox.world.guilds import Channel, Guild
from sandbox.world.objects import Json
from sandbox.world.world import World

_STRING, _INTEGER, _BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, _NUMBER, _ATTACHMENT = 3, 4, 5, 6, 7, 8, 9, 10, 11
_PYTHON_TYPES: Final[dict[int, tuple[type, ...]]] = {
    _STRING: (str,),
    _INTEGER: (int,),
    _BOOLEAN: (bool,),
    _NUMBER: (int, float),
}


class ActError(Exception):
    """The user cannot do this: no such option, component or field. The message says what there is."""

    status = 422
    code = "bad_invocation"


class UnknownCommandError(ActError):
    """No command of this name is registered where the user is."""

    status = 404
    code = "unknown_command"


@dataclass(slots=True)
class Place:
    """Where a user acts: a channel of a guild, or a private one."""

    world: World
    channel: Channel
    guild: Guild | None

    def member_json(self, user_id: str) -> Json | None:
        """Return the user's member object with permissions, as interactions carry it; None outside the guild."""
        member = None if self.guild is None else self.guild.members.get(user_id)
        if member is None:
            return None
        granted = self.world.permissions_in(self.channel, user_id)
        return objects.member(member) | {"permissions": str(granted)}

    def channel_json(self, channel: Channel, user_id: str) -> Json:
        """Return the part of a channel that interactions carry."""
        shown = objects.channel(channel) | {"permissions": str(self.world.permissions_in(channel, user_id))}
        for key in ("permission_overwrites", "position", "rate_limit_per_user"):
            shown.pop(key, None)
        return shown


@dataclass(slots=True)
class Resolved:
    """The objects that the ids in an interaction stand for, as its `resolved` carries them."""

    place: Place
    user_id: str
    tables: dict[str, Json] = field(default_factory=dict)

    def _put(self, table: str, object_id: str, shown: Json) -> None:
        self.tables.setdefault(table, {})[object_id] = shown

    def user(self, user_id: str) -> bool:
        """Add a user, with the membership if there is one; return whether there is such a user."""
        user = self.place.world.users.get(user_id)
        if user is None:
            return False
        self._put("users", user_id, user.as_json())
        member = self.place.member_json(user_id)
        if member is not None:
            del member["user"]
            self._put("members", user_id, member)
        return True

    def role(self, role_id: str) -> bool:
        """Add a role of the guild; return whether there is such a role."""
        role = None if self.place.guild is None else self.place.guild.roles.get(role_id)
        if role is not None:
            self._put("roles", role_id, objects.role(role))
        return role is not None

    def channel(self, channel_id: str) -> bool:
        """Add a channel of the guild that the user may view; return whether there is one."""
        channel = None if self.place.guild is None else self.place.guild.channels.get(channel_id)
        granted = 0 if channel is None else self.place.world.permissions_in(channel, self.user_id)
        if channel is None or not granted & permissions.Permission.VIEW_CHANNEL:
            return False
        self._put("channels", channel_id, self.place.channel_json(channel, self.user_id))
        return True

    def attachment(self, attachment: Attachment) -> str:
        """Add an uploaded file; return its id."""
        self._put("attachments", attachment["id"], attachment)
        return str(attachment["id"])

    def message(self, message: Json) -> None:
        """Add a message."""
        self._put("messages", message["id"], message)

    def object(self, kind: int, object_id: str) -> bool:
        """Add what an option of type `kind` names; return whether there is such an object."""
        if kind == MENTIONABLE:
            return self.user(object_id) or self.role(object_id)
        return {USER: self.user, CHANNEL: self.channel, ROLE: self.role}[kind](object_id)


def fill(command: Json, path: list[str], values: Json, resolved: Resolved, focused: str | None = None) -> list[Json]:
    """Return the `options` of an interaction: the command's, with the values a user filled in.

    path: the sub-command (after its group, if any) of the command; empty when it has none.
    focused: the option the user is typing, for an autocomplete; required options may then still be missing.
    Raises ActError if the path or the values do not fit the command.
    """
    levels, declared = _descend(command, path)
    _check_names(command["name"], declared, values, may_miss=focused is not None)
    if focused is not None:
        _check_focus(declared, focused)
    options = []
    for option in declared:
        if focused is not None and option["name"] == focused:
            typed = {"type": option["type"], "name": focused, "value": str(values.get(focused, "")), "focused": True}
            options.append(typed)
        elif option["name"] in values:
            options.append(_option(option, values[option["name"]], resolved))
    for level in reversed(levels):
        options = [{"type": level["type"], "name": level["name"], "options": options}]
    return options


def _descend(command: Json, path: list[str]) -> tuple[list[Json], list[Json]]:
    levels: list[Json] = []
    options: list[Json] = command.get("options", [])
    for name in path:
        found = next((o for o in options if o["name"] == name and o["type"] in {SUB_COMMAND, SUB_COMMAND_GROUP}), None)
        if found is None:
            raise ActError(f"/{command['name']} has no sub-command {name!r}; it has {_names(options)}")
        levels.append(found)
        options = found.get("options", [])
    if any(option["type"] in {SUB_COMMAND, SUB_COMMAND_GROUP} for option in options):
        raise ActError(f"/{command['name']} needs a sub-command, one of {_names(options)}, separated by a space")
    return levels, options


def _check_names(name: str, declared: list[Json], values: Json, *, may_miss: bool) -> None:
    unknown = sorted(set(values) - {option["name"] for option in declared})
    if unknown:
        raise ActError(f"/{name} has no option {unknown[0]!r}; it has {_names(declared)}")
    missing = [option["name"] for option in declared if option.get("required") and option["name"] not in values]
    if missing and not may_miss:
        raise ActError(f"/{name} requires the option {missing[0]!r}")


def _check_focus(declared: list[Json], focused: str) -> None:
    able = [option["name"] for option in declared if option.get("autocomplete")]
    if focused not in able:
        raise ActError(f"the option {focused!r} has no autocomplete; with autocomplete: {able}")


def _option(option: Json, value: Any, resolved: Resolved) -> Json:  # noqa: ANN401 - any JSON value
    kind, name = option["type"], option["name"]
    if kind in _PYTHON_TYPES:
        _check_value(option, value)
    elif kind == _ATTACHMENT:
        if not isinstance(value, dict) or "id" not in value:
            raise ActError(f'option {name!r} takes a file: {{"filename": "a.txt", "text": "…"}}')
        value = resolved.attachment(value)
    else:
        value = str(value)
        if not value.isdigit():
            raise ActError(f"option {name!r} takes an id, not {value!r}")
        if not resolved.object(kind, value):
            raise ActError(f"option {name!r}: there is no {value} for the user to pick here")
    return {"type": kind, "name": name, "value": value}


def _check_value(option: Json, value: Any) -> None:  # noqa: ANN401 - any JSON value
    kind, name = option["type"], option["name"]
    is_stray_bool = isinstance(value, bool) and kind != _BOOLEAN
    if not isinstance(value, _PYTHON_TYPES[kind]) or is_stray_bool:
        raise ActError(f"option {name!r} takes a value of Discord's option type {kind}, not {value!r}")
    choices = option.get("choices") or []
    if choices and not option.get("autocomplete") and value not in [choice["value"] for choice in choices]:
        raise ActError(f"option {name!r} takes one of {[choice['value'] for choice in choices]}, not {value!r}")
    size = len(value) if isinstance(value, str) else value
    suffix = "length" if isinstance(value, str) else "value"
    least, most = option.get(f"min_{suffix}"), option.get(f"max_{suffix}")
    if isinstance(value, str) and most is None:
        most = limits.OPTION_LENGTH_MAX
    if kind != _BOOLEAN and ((least is not None and size < least) or (most is not None and size > most)):
        raise ActError(f"option {name!r} takes a {suffix} from {least} to {most}, not {size}")


def _names(options: list[Json]) -> list[str]:
    return [option["name"] for option in options]
