"""Which guilds a bot is in and what it may do there, from the events that tell of it. Pure: no clock, no I/O.

At the start of a session Discord lists the guilds and then sends each of them: none of those was joined just now,
unless the list that was known before did not have it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from flotilla.domain.bounds import plain
from worker_bot.permissions import Overwrite, in_channel, in_guild, names_of, overwrites_of

SETTLE_S: Final = 2.0
"""How long permissions may change before it is told what is lost: who edits roles makes several changes."""

MAX_WAITING: Final = 1_000
"""Guilds and channels whose permissions are being changed at once; more are told without waiting."""

Detail = dict[str, Any]
Told = tuple[str, Detail]
OverwritesBefore = Callable[[int], Mapping[int, Overwrite] | None]
"""Returns the overwrites of a channel as they were before the event; None: they are not known."""


class Place(msgspec.Struct, array_like=True):
    """A guild. name: empty until Discord sent it. everyone: permissions of its own role; roles: of the bot's, by id.

    away: Discord cannot reach it.
    """

    name: str = ""
    everyone: int = 0
    roles: dict[int, int] = {}
    away: bool = False

    def granted(self) -> int:
        """Return what the bot may do there."""
        return in_guild(self.everyone, self.roles.values())


class _Change(msgspec.Struct):
    """A change that is not told yet. before, after: permissions; of the guild if there is no channel."""

    due: float
    guild_id: int
    before: int
    after: int
    channel: str = ""


class Guilds:
    """All guilds of a bot. known: as `left` gave them, None if there is nothing to compare with.

    role_permissions: what a role grants, None if that is not known. overwrites_before: see there.
    """

    def __init__(
        self,
        known: dict[int, Place] | None,
        role_permissions: Callable[[int], int | None],
        overwrites_before: OverwritesBefore,
    ) -> None:
        self._places: dict[int, Place] = known or {}
        self._compare = known is not None
        self._begun: set[int] = set()
        self._new: set[int] = set()
        self._me = 0
        self._role_permissions, self._overwrites_before = role_permissions, overwrites_before
        self._changes: dict[int, _Change] = {}
        self.changed = False
        """Whether `left` would be another than it was; the caller sets it back."""
        self._takers: dict[str, Callable[[Mapping[str, Any], float], Iterator[Told]]] = {
            "GUILD_CREATE": self._came,
            "GUILD_UPDATE": self._updated,
            "GUILD_DELETE": self._went,
            "GUILD_ROLE_UPDATE": self._role_changed,
            "GUILD_ROLE_DELETE": self._role_gone,
            "GUILD_MEMBER_UPDATE": self._member_changed,
            "CHANNEL_UPDATE": self._channel_changed,
        }

    def left(self) -> dict[int, Place]:
        """Return what the next worker begins with."""
        return self._places

    @property
    def knows_me(self) -> bool:
        """Whether the bot's own user is known."""
        return bool(self._me)

    def is_me(self, user_id: int) -> None:
        """Know the bot's own user before READY tells it, which never comes to a worker that resumes."""
        self._me = user_id

    def see(self, name: str, shard_id: int, shard_count: int, payload: Any, now: float) -> list[Told]:  # noqa: ANN401
        """Return what an event tells, as codes of `flotilla.domain.happenings` with their details.

        Raises LookupError, TypeError, ValueError or AttributeError for what is not Discord's.
        """
        if name == "READY":
            return list(self._began(shard_id, shard_count, payload))
        taker = self._takers.get(name)
        return [] if taker is None else list(taker(payload, now))

    def settled(self, now: float) -> list[Told]:
        """Return the permissions that were lost and have not come back. Call it about once a second."""
        if not self._changes:
            return []
        crowded = len(self._changes) > MAX_WAITING
        due = [key for key, change in self._changes.items() if crowded or change.due <= now]
        found = (self._lost(key, self._changes.pop(key)) for key in due)
        return [told for told in found if told is not None]

    # Guilds ----------------------------------------------------------------------------------------------------------

    def _began(self, shard_id: int, shard_count: int, ready: Mapping[str, Any]) -> Iterator[Told]:
        self._me = int(ready["user"]["id"])
        listed = {int(guild["id"]) for guild in ready["guilds"]}
        before = {guild_id for guild_id in self._places if (guild_id >> 22) % shard_count == shard_id}
        compare = self._compare or shard_id in self._begun
        self._begun.add(shard_id)
        for guild_id in before - listed:
            place = self._places.pop(guild_id)
            yield "guild_left", _guild(guild_id, place) | {"while_away": True}
        if compare:
            self._new |= listed - before
        for guild_id in listed - before:
            self._places[guild_id] = Place()
        self.changed = True

    def _came(self, guild: Mapping[str, Any], now: float) -> Iterator[Told]:
        guild_id = int(guild["id"])
        if guild.get("unavailable"):
            return
        known = self._places.get(guild_id)
        place = self._places[guild_id] = Place(plain(str(guild["name"]), 100))
        me = next((member for member in guild.get("members", ()) if int(member["user"]["id"]) == self._me), None)
        granted = {int(role["id"]): int(role["permissions"]) for role in guild["roles"]}
        place.everyone = granted.get(guild_id, 0)
        own = [] if me is None else [int(role) for role in me["roles"]]
        place.roles = {role_id: granted.get(role_id, 0) for role_id in own}
        if known is None or guild_id in self._new:
            members = guild.get("member_count")
            more = {"members": members} if isinstance(members, int) else {}
            yield "guild_joined", _guild(guild_id, place) | more | {"while_away": guild_id in self._new}
        elif known.away:
            yield "guild_available", _guild(guild_id, place)
        if known is not None and known.name and me is not None:
            self._note(guild_id, known.granted(), now)  # what has changed while nobody was there
        self._new.discard(guild_id)
        self.changed = True

    def _updated(self, guild: Mapping[str, Any], _now: float) -> Iterator[Told]:
        place = self._places.get(int(guild["id"]))
        if place is not None and place.name != plain(str(guild["name"]), 100):
            place.name, self.changed = plain(str(guild["name"]), 100), True
        yield from ()

    def _went(self, guild: Mapping[str, Any], _now: float) -> Iterator[Told]:
        guild_id = int(guild["id"])
        place = self._places.get(guild_id)
        if place is None:
            return
        if guild.get("unavailable"):
            if not place.away:
                place.away = self.changed = True
                yield "guild_unavailable", _guild(guild_id, place)
            return
        del self._places[guild_id]
        self._new.discard(guild_id)
        self._changes = {key: change for key, change in self._changes.items() if change.guild_id != guild_id}
        self.changed = True
        yield "guild_left", _guild(guild_id, place) | {"while_away": False}

    # Permissions -----------------------------------------------------------------------------------------------------

    def _role_changed(self, event: Mapping[str, Any], now: float) -> Iterator[Told]:
        guild_id, role_id = int(event["guild_id"]), int(event["role"]["id"])
        granted, place = int(event["role"]["permissions"]), self._places.get(guild_id)
        if place is not None and role_id == guild_id and place.everyone != granted:
            self._note(guild_id, place.granted(), now)
            place.everyone = granted
        elif place is not None and place.roles.get(role_id, granted) != granted:
            self._note(guild_id, place.granted(), now)
            place.roles[role_id] = granted
        yield from ()

    def _role_gone(self, event: Mapping[str, Any], now: float) -> Iterator[Told]:
        guild_id, role_id = int(event["guild_id"]), int(event["role_id"])
        place = self._places.get(guild_id)
        if place is not None and role_id in place.roles:
            self._note(guild_id, place.granted(), now)
            del place.roles[role_id]
        yield from ()

    def _member_changed(self, member: Mapping[str, Any], now: float) -> Iterator[Told]:
        guild_id = int(member["guild_id"])
        place = self._places.get(guild_id)
        if place is not None and int(member["user"]["id"]) == self._me:
            roles = {}
            for role_id in map(int, member["roles"]):
                known = place.roles.get(role_id)
                roles[role_id] = known if known is not None else self._role_permissions(role_id) or 0
            if roles != place.roles:
                self._note(guild_id, place.granted(), now)
                place.roles = roles
        yield from ()

    def _channel_changed(self, channel: Mapping[str, Any], now: float) -> Iterator[Told]:
        guild_id, channel_id = int(channel["guild_id"]), int(channel["id"])
        place, before = self._places.get(guild_id), self._overwrites_before(channel_id)
        if place is not None and before is not None:
            after = overwrites_of(channel["permission_overwrites"])
            of_me = {guild_id, self._me, *place.roles}
            if any(before.get(key, (0, 0)) != after.get(key, (0, 0)) for key in of_me):
                base, roles = place.granted(), place.roles
                was, now_is = (in_channel(base, guild_id, roles, self._me, rows) for rows in (before, after))
                first = self._changes.get(channel_id)
                due, was = (now + SETTLE_S, was) if first is None else (first.due, first.before)
                self._changes[channel_id] = _Change(due, guild_id, was, now_is, plain(str(channel["name"]), 100))
        yield from ()

    def _note(self, guild_id: int, before: int, now: float) -> None:
        self.changed = True
        if guild_id not in self._changes:
            self._changes[guild_id] = _Change(now + SETTLE_S, guild_id, before, before)

    def _lost(self, key: int, change: _Change) -> Told | None:
        place = self._places.get(change.guild_id)
        if place is None:
            return None
        after = change.after if change.channel else place.granted()
        lost = change.before & ~after
        if not lost:
            return None
        where = {"channel_id": str(key), "channel": change.channel} if change.channel else {}
        return "permissions_lost", _guild(change.guild_id, place) | where | {"lost": names_of(lost)}


def _guild(guild_id: int, place: Place) -> Detail:
    return {"guild_id": str(guild_id), "guild": place.name or None}
