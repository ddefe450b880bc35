"""The objects that events of the gateway carry, held against the schemas the REST API has for the same objects. Pure.

The description has no word on the gateway, but Discord's reference says of each event which object it carries.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.judges.description import Description

Place = tuple[str, str]  # where in the event, and the schema of what is there

_GUILD: tuple[Place, ...] = (
    ("", "GuildResponse"),
    ("channels[]", "GuildChannelResponse"),
    ("threads[]", "ThreadResponse"),
    ("members[]", "GuildMemberResponse"),
)
_MESSAGE: tuple[Place, ...] = (("", "MessageResponse"),)
_CHANNEL: tuple[Place, ...] = (("", "GuildChannelResponse"),)
_THREAD: tuple[Place, ...] = (("", "ThreadResponse"),)
_ROLE: tuple[Place, ...] = (("role", "GuildRoleResponse"),)
PLACES: Mapping[str, tuple[Place, ...]] = {
    "READY": (("user", "UserPIIResponse"),),
    "USER_UPDATE": (("", "UserPIIResponse"),),
    "GUILD_CREATE": _GUILD,
    "GUILD_UPDATE": (("", "GuildResponse"),),
    "GUILD_MEMBER_ADD": (("", "GuildMemberResponse"),),
    "GUILD_MEMBER_REMOVE": (("user", "UserResponse"),),
    "GUILD_BAN_ADD": (("user", "UserResponse"),),
    "GUILD_BAN_REMOVE": (("user", "UserResponse"),),
    "GUILD_MEMBERS_CHUNK": (("members[]", "GuildMemberResponse"),),
    "GUILD_ROLE_CREATE": _ROLE,
    "GUILD_ROLE_UPDATE": _ROLE,
    "CHANNEL_CREATE": _CHANNEL,
    "CHANNEL_UPDATE": _CHANNEL,
    "CHANNEL_DELETE": _CHANNEL,
    "THREAD_CREATE": _THREAD,
    "THREAD_UPDATE": _THREAD,
    "MESSAGE_CREATE": _MESSAGE,
    "MESSAGE_UPDATE": _MESSAGE,
    "MESSAGE_REACTION_ADD": (("member", "GuildMemberResponse"), ("emoji", "MessageReactionEmojiResponse")),
    "MESSAGE_REACTION_REMOVE": (("emoji", "MessageReactionEmojiResponse"),),
    "MESSAGE_REACTION_REMOVE_EMOJI": (("emoji", "MessageReactionEmojiResponse"),),
    "INTERACTION_CREATE": (
        ("user", "UserResponse"),
        ("member", "GuildMemberResponse"),
        ("message", "MessageResponse"),
        ("data.resolved.users{}", "UserResponse"),
        ("data.resolved.roles{}", "GuildRoleResponse"),
        ("data.resolved.messages{}", "MessageResponse"),
    ),
}
_OF_A_DIRECT_MESSAGE = "PrivateChannelResponse"


def violations(description: Description, name: str, event: Mapping[str, Any]) -> list[str]:
    """Return what in an event's objects is not as Discord describes them, a line each."""
    told = []
    for place, schema in PLACES.get(name, ()):
        if name.startswith("CHANNEL_") and "guild_id" not in event:
            schema = _OF_A_DIRECT_MESSAGE  # noqa: PLW2901 - the same event tells of a guild's channels and of others
        for where, value in _found(event, place):
            faults = description.component_faults(schema, value)
            told += [f"{name} {where or 'itself'} as {schema}: {fault}" for fault in faults]
    return told


def _found(event: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Return what lies at a place, with its path; nothing where the event does not go so far."""
    if not place:
        yield "", event
        return
    key, _, rest = place.partition(".")
    value = event.get(key.rstrip("[]{}")) if isinstance(event, Mapping) else None
    if value is None:
        return
    items: list[tuple[str, Any]] = [("", value)]
    if key.endswith("[]"):
        items = [(f"[{index}]", item) for index, item in enumerate(value)]
    elif key.endswith("{}"):
        items = [(f".{of}", item) for of, item in value.items()]
    for step, item in items:
        for where, found in _found(item, rest):
            yield f"{key.rstrip('[]{}')}{step}.{where}".rstrip("."), found
