"""The shapes of what clients send. Discord closes with 4002 on a malformed IDENTIFY, with 4001 on a malformed presence.

The 4001 is observed (and documented: "an invalid payload for an opcode"); unknown fields are ignored, as Discord does.
"""

from typing import Any, Literal

import msgspec


class Activity(msgspec.Struct):
    """What a bot is doing (documented: Gateway Events, Activity Object)."""

    name: str
    type: int


class Presence(msgspec.Struct):
    """PRESENCE_UPDATE; every field is required (observed), but `game`, the older form of `activities`, still serves."""

    since: int | float | None
    status: Literal["online", "dnd", "idle", "invisible", "offline"]
    afk: bool
    activities: list[Activity] | msgspec.UnsetType = msgspec.UNSET
    game: Activity | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        """Raise ValueError if neither form of the activities is there."""
        if self.activities is msgspec.UNSET and self.game is msgspec.UNSET:
            raise ValueError("activities is missing")


class Identify(msgspec.Struct):
    """IDENTIFY. `intents` and `shard` have close codes of their own, so any value passes here."""

    token: str
    properties: dict[str, Any]
    intents: Any = None
    shard: Any = (0, 1)
    compress: bool | None = None
    large_threshold: int | None = None
    presence: dict[str, Any] | None = None


class Resume(msgspec.Struct):
    """RESUME."""

    token: str
    session_id: str
    seq: int


def shard_of(value: object) -> tuple[int, int] | None:
    """Return (shard_id, num_shards), or None if `value` is no valid pair of them."""
    match value:
        case [int(shard_id), int(num_shards)] if not isinstance(shard_id, bool) and not isinstance(num_shards, bool):
            return (shard_id, num_shards) if 0 <= shard_id < num_shards else None
    return None


def asks_for_all_members(body: object) -> str | None:
    """Return the guild id of a REQUEST_GUILD_MEMBERS for every member (`query` "" and `limit` 0), else None."""
    if not isinstance(body, dict) or body.get("user_ids") or body.get("query") != "" or body.get("limit") != 0:
        return None
    return str(body.get("guild_id"))
