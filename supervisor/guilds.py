"""Tells workers what is set in the guilds of their bots, and answers what they ask and change there."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from flotilla.domain.config import Snowflake
from flotilla.errors import FixInputError
from flotilla.ports import ConfigStore
from flotilla.protocol import GuildsChanged, GuildSet, ToWorker
from supervisor.member import Member

TOLD_AT_ONCE: Final = 100
"""Guilds whose changes are told one by one; of more than that a worker forgets all it knows, and asks again."""

MAX_TOLD_BYTES: Final = 512 * 1024
"""Of one message; a frame may have a MiB."""


class _Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    guild_id: Snowflake


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    guild_id: Snowflake
    changes: dict[str, object]


_Asked = TypeVar("_Asked", _Which, _Change)


class Guilds:
    """Which changes of guilds each worker has been told. Configs themselves are read when they are told."""

    def __init__(self, store: ConfigStore, tell: Callable[[str, ToWorker], bool]) -> None:
        self._store, self._tell = store, tell
        self._told: dict[str, int] = {}
        self._behind: dict[str, Member] = {}

    def knows(self, member: Member, guilds_version: int) -> None:
        """A worker that has just been met knows of all changes up to this one."""
        self._told[member.bot.id] = guilds_version
        self.changed(member)

    def changed(self, member: Member) -> None:
        """Something may have been set in a guild; its worker is told with the next `flush`."""
        if self._told.get(member.bot.id, member.bot.guilds_version) < member.bot.guilds_version:
            self._behind[member.bot.id] = member

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._told.pop(bot_id, None)
        self._behind.pop(bot_id, None)

    async def flush(self) -> None:
        """Tell workers what has changed. Raises RetryError when the database is away; it is told later then."""
        for bot_id, member in list(self._behind.items()):
            self._behind.pop(bot_id, None)
            told, newest = self._told.get(bot_id, 0), member.bot.guilds_version
            try:
                rows = [] if told < 0 else await self._store.guilds_since(bot_id, told, TOLD_AT_ONCE + 1)
            except BaseException:
                self._behind[bot_id] = member
                raise
            guilds = tuple(GuildSet(row.guild_id, row.config, row.version) for row in rows)
            whole = told >= 0 and len(rows) <= TOLD_AT_ONCE and len(msgspec.msgpack.encode(guilds)) <= MAX_TOLD_BYTES
            newest = max([newest, *(row.guilds_version for row in rows)])
            message = GuildsChanged(newest, guilds if whole else (), all_else=not whole)
            if self._tell(bot_id, message):
                self._told[bot_id] = newest

    # Topics of `supervisor.answers` ----------------------------------------------------------------------------------

    async def answer_get(self, member: Member, body: bytes) -> bytes:
        """Answer `guild_config.get`: {"guild_id": "…"} with what is set there."""
        asked = _read(body, _Which)
        return msgspec.json.encode((await self._store.guild(member.bot.id, asked.guild_id)).config)

    async def answer_set(self, member: Member, body: bytes) -> bytes:
        """Answer `guild_config.set`: {"guild_id": "…", "changes": {…}}, a merge patch, with what is set there then."""
        asked = _read(body, _Change)
        found = await self._store.change_guild(member.bot.id, asked.guild_id, asked.changes)
        return msgspec.json.encode(found.config)


def _read(body: bytes, kind: type[_Asked]) -> _Asked:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise FixInputError(f"The question is wrong: {fault}", code="question_malformed") from None
