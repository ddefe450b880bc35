"""`ConfigStore` in memory, as far as a supervisor's units need it."""

from collections.abc import Mapping
from datetime import datetime

from flotilla.domain.config_changes import changed
from flotilla.domain.config_record import ConfigOutcome, GuildVersion, Version
from flotilla.errors import NotFoundError, RetryError


class MemoryConfigStore:
    """away: answer nothing, as a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.outcomes: dict[str, ConfigOutcome] = {}
        self.guilds: dict[tuple[str, str], GuildVersion] = {}
        self.versions: dict[str, list[Version]] = {}

    async def record_outcomes(self, outcomes: Mapping[str, ConfigOutcome], at: datetime) -> None:
        assert at.tzinfo is not None
        self._require_there()
        self.outcomes |= outcomes

    async def history(self, bot_id: str) -> list[Version]:
        self._require_there()
        if bot_id not in self.versions:
            raise NotFoundError("There is no bot with this id.", code="bot_unknown")
        return self.versions[bot_id]

    async def guild(self, bot_id: str, guild_id: str) -> GuildVersion:
        self._require_there()
        return self.guilds.get((bot_id, guild_id), GuildVersion(guild_id))

    async def change_guild(self, bot_id: str, guild_id: str, changes: Mapping[str, object]) -> GuildVersion:
        before = await self.guild(bot_id, guild_id)
        newest = max((row.guilds_version for (own, _), row in self.guilds.items() if own == bot_id), default=0)
        found = GuildVersion(guild_id, changed(before.config, changes), before.version + 1, newest + 1)
        self.guilds[bot_id, guild_id] = found
        return found

    async def guilds_since(self, bot_id: str, guilds_version: int, limit: int) -> list[GuildVersion]:
        self._require_there()
        rows = [row for (own, _), row in self.guilds.items() if own == bot_id and row.guilds_version > guilds_version]
        return sorted(rows, key=lambda row: row.guilds_version)[:limit]

    def _require_there(self) -> None:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
