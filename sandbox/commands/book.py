"""The application commands of one application, global and by guild. Ids and versions stay while nothing changes."""

from typing import Any, Self

import msgspec

from sandbox import errors, limits
from sandbox.commands.rules import CHAT_INPUT, ENTRY_POINT, check_all, check_command
from sandbox.commands.shapes import rendered_option
from sandbox.errors import DiscordError, FieldFaults
from sandbox.snowflakes import Sequence

Command = dict[str, Any]
Scope = str | None  # a guild id, or None for global commands
_GIVEN = ("name_localizations", "description_localizations", "default_member_permissions", "contexts")


KeptCommands = list[tuple[Scope, list[Command], list[float]]]
"""Each scope with its commands, and when the lately created ones were (Unix seconds)."""


class CommandBook:
    """Commands by scope. Each method that takes a body raises DiscordError for what Discord refuses."""

    def __init__(self) -> None:
        self._scopes: dict[Scope, dict[str, Command]] = {}
        self._creates: dict[Scope, list[float]] = {}
        self._bytes = b""  # as `kept` has it; empty while it is not known

    def __len__(self) -> int:
        return sum(map(len, self._scopes.values()))

    def kept(self) -> bytes:
        """Return all there is as MessagePack, for `restored`. Encoded once for as long as nothing changes."""
        if not self._bytes:
            scopes = dict.fromkeys((*self._scopes, *self._creates))
            rows: KeptCommands = [(scope, self.of(scope), self._creates.get(scope, [])) for scope in scopes]
            self._bytes = msgspec.msgpack.encode(rows)
        return self._bytes

    @classmethod
    def restored(cls, kept: bytes) -> Self:
        """Return the book that was `kept`. Raises msgspec.MsgspecError if it is none."""
        book = cls()
        for scope, commands, creates in msgspec.msgpack.decode(kept, type=KeptCommands):
            book._scopes[scope] = {command["id"]: command for command in commands}
            book._creates[scope] = creates
        return book

    def of(self, scope: Scope) -> list[Command]:
        """Return the scope's commands in the order of their creation."""
        return list(self._scopes.get(scope, {}).values())

    def get(self, scope: Scope, command_id: str) -> Command:
        """Return one command; raise DiscordError 10063 if there is none with this id."""
        command = self._scopes.get(scope, {}).get(command_id)
        if command is None:
            raise DiscordError(errors.UNKNOWN_COMMAND)
        return command

    def named(self, name: str, guild_id: str | None, kind: int = CHAT_INPUT) -> Command | None:
        """Return the command a user sees under `name` in a guild, or in private for None.

        A guild's own command hides the global one.
        """
        for scope in (guild_id, None) if guild_id is not None else (None,):
            for command in self._scopes.get(scope, {}).values():
                if command["name"] == name and command["type"] == kind:
                    return command
        return None

    def names(self, guild_id: str | None, kind: int = CHAT_INPUT) -> list[str]:
        """Return the names of all commands of a kind that a user sees there, sorted."""
        scopes = {guild_id, None}
        return sorted({c["name"] for scope in scopes for c in self.of(scope) if c["type"] == kind})

    def create(
        self, application_id: str, scope: Scope, body: Command, ids: Sequence, now: float
    ) -> tuple[Command, bool]:
        """Create a command, or overwrite the one of the same name and type; return it and whether it is new."""
        faults = FieldFaults()
        check_command(body, faults)
        faults.raise_if_any()
        old = self._same(scope, body)
        if old is None:
            self._check_room(scope, body.get("type") or CHAT_INPUT)
            self._spend_create(scope, now)
        command = _render(application_id, scope, body, old, ids, now)
        self._scopes.setdefault(scope, {})[command["id"]] = command
        self._bytes = b""
        return command, old is None

    def edit(self, scope: Scope, command_id: str, patch: Command, ids: Sequence, now: float) -> Command:
        """Change the fields in `patch`; return the command, with a new version if anything changed."""
        old = self.get(scope, command_id)
        body = old | {key: value for key, value in patch.items() if key != "type"}
        faults = FieldFaults()
        check_command(body, faults)
        faults.raise_if_any()
        command = _render(old["application_id"], scope, body, old, ids, now)
        self._scopes[scope][command_id] = command
        self._bytes = b""
        return command

    def delete(self, scope: Scope, command_id: str) -> None:
        """Delete a command; raise DiscordError 10063 if there is none with this id."""
        self.get(scope, command_id)
        del self._scopes[scope][command_id]
        self._bytes = b""

    def overwrite(
        self, application_id: str, scope: Scope, bodies: list[Command], ids: Sequence, now: float
    ) -> list[Command]:
        """Replace all commands of the scope; those of the same name and type keep their id."""
        faults = FieldFaults()
        check_all(bodies, faults)
        faults.raise_if_any()
        for kind, most in limits.COMMANDS_MAX.items():
            if sum((body.get("type") or CHAT_INPUT) == kind for body in bodies) > most:
                raise DiscordError(errors.TOO_MANY_COMMANDS)
        entries = {command["name"] for command in self.of(scope) if command["type"] == ENTRY_POINT}
        if not entries <= {body["name"] for body in bodies if body.get("type") == ENTRY_POINT}:
            raise DiscordError(errors.ENTRY_POINT_LEFT_OUT)
        commands = []
        for body in bodies:
            old = self._same(scope, body)
            if old is None:
                self._spend_create(scope, now)
            commands.append(_render(application_id, scope, body, old, ids, now))
        self._scopes[scope] = {command["id"]: command for command in commands}
        self._bytes = b""
        return commands

    def drop_guild(self, guild_id: str) -> None:
        """Forget the commands of a guild that is no more."""
        self._scopes.pop(guild_id, None)
        self._creates.pop(guild_id, None)
        self._bytes = b""

    def _same(self, scope: Scope, body: Command) -> Command | None:
        key = (body.get("type") or CHAT_INPUT, body["name"])
        return next((c for c in self.of(scope) if (c["type"], c["name"]) == key), None)

    def _check_room(self, scope: Scope, kind: int) -> None:
        if sum(command["type"] == kind for command in self.of(scope)) >= limits.COMMANDS_MAX[kind]:
            raise DiscordError(errors.TOO_MANY_COMMANDS)

    def _spend_create(self, scope: Scope, now: float) -> None:
        recent = [at for at in self._creates.get(scope, ()) if now - at < limits.SESSION_STARTS_WINDOW_S]
        if len(recent) >= limits.COMMAND_CREATES_PER_DAY:
            raise DiscordError(errors.TOO_MANY_CREATES)
        self._creates[scope] = [*recent, now]
        self._bytes = b""


def _render(
    application_id: str, scope: Scope, body: Command, old: Command | None, ids: Sequence, now: float
) -> Command:
    kind = body.get("type") or CHAT_INPUT
    command: Command = {
        "id": old["id"] if old else ids.next(now),
        "application_id": application_id,
        "version": old["version"] if old else ids.next(now),
        "type": kind,
        "name": body["name"],
        "description": body.get("description") or "",
        "nsfw": bool(body.get("nsfw")),
    }
    command |= {key: body.get(key) for key in _GIVEN}
    if command["default_member_permissions"] is not None:
        command["default_member_permissions"] = str(command["default_member_permissions"])
    if kind == ENTRY_POINT:
        command["handler"] = body.get("handler") or 1
    if kind == CHAT_INPUT and body.get("options"):
        command["options"] = [rendered_option(option) for option in body["options"]]
    if scope is None:
        command["integration_types"] = body.get("integration_types") or [0]
        command["dm_permission"] = body.get("dm_permission") is not False
    else:
        command["guild_id"] = scope
    if old is not None and command != old:
        command["version"] = ids.next(now)
    return command
