"""What a bot may do in a guild and in a channel, worked out as Discord documents it (Permissions). Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import hikari

ADMINISTRATOR: Final = int(hikari.Permissions.ADMINISTRATOR)
ALL: Final = int(hikari.Permissions.all_permissions())


def in_guild(everyone: int, roles: Iterable[int]) -> int:
    """Return the permissions of a member. everyone: of the guild's own role; roles: of the member's roles."""
    granted = everyone
    for each in roles:
        granted |= each
    return ALL if granted & ADMINISTRATOR else granted


def in_channel(base: int, guild_id: int, roles: Iterable[int], me: int, overwrites: Mapping[int, "Overwrite"]) -> int:
    """Return the permissions of a member in a channel. base: in the guild. roles: ids of the member's roles."""
    if base & ADMINISTRATOR:
        return ALL
    deny, allow = overwrites.get(guild_id, (0, 0))
    base = base & ~deny | allow
    denied = allowed = 0
    for role_id in roles:
        deny, allow = overwrites.get(role_id, (0, 0))
        denied, allowed = denied | deny, allowed | allow
    base = base & ~denied | allowed
    deny, allow = overwrites.get(me, (0, 0))
    return base & ~deny | allow


Overwrite = tuple[int, int]
"""What is denied, and what is allowed."""


def overwrites_of(rows: Iterable[Mapping[str, Any]]) -> dict[int, Overwrite]:
    """Return the overwrites of a channel as Discord sends it, by the id of their role or member."""
    return {int(row["id"]): (int(row["deny"]), int(row["allow"])) for row in rows}


def names_of(permissions: int) -> tuple[str, ...]:
    """Return Discord's names, in the order of the bits; those that hikari does not know as their number."""
    names = [str(each.name) for each in hikari.Permissions if each and int(each) & permissions]
    unknown = permissions & ~ALL
    return (*names, *([hex(unknown)] if unknown else []))
