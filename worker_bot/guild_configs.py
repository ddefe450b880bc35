"""What is set in the guilds of the bot, as far as this worker has been asked for it; bounded.

What was known last is used while the supervisor is away, and what has changed is told by it.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from flotilla.domain.config import DEFAULT_GUILD_CONFIG, GuildConfig
from flotilla.protocol import GuildsChanged
from flotilla.tasks import awaited
from worker_bot.asking import AskingError

MAX_KEPT: Final = 1000
"""Guilds whose config is kept; it takes about 400 bytes where little is set."""

ANSWER_S: Final = 1.0
"""Discord gives up on an interaction after 3 s, so a guild's config must not be waited for any longer."""

AWAY_S: Final = 5.0
"""How long the supervisor is not asked again once it has not answered: users must not wait for it one by one."""

Ask = Callable[[str, bytes, float], Awaitable[bytes]]
log = logging.getLogger("flotilla.config")


class GuildConfigs:
    """Configs by guild id. ask: asks the supervisor (topic, body, seconds to wait). Lives in one event loop."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._kept: OrderedDict[str, tuple[GuildConfig, bool]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[GuildConfig]] = {}
        self._away_until = float("-inf")
        self.version = 0
        """Of the newest change that this worker has been told."""

    def known(self, guild_id: int) -> GuildConfig:
        """Return what is known of a guild, at once; the default if nothing is."""
        kept = self._kept.get(str(guild_id))
        return DEFAULT_GUILD_CONFIG if kept is None else kept[0]

    async def of(self, guild_id: int) -> GuildConfig:
        """Return what is set in a guild. While the supervisor is away: what was known last, else the default."""
        key = str(guild_id)
        kept = self._kept.get(key)
        if kept is not None and kept[1]:
            self._kept.move_to_end(key)
            return kept[0]
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = awaited(self._look_up(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def change(self, guild_id: int, changes: dict[str, Any]) -> GuildConfig:
        """Put a merge patch on what is set in a guild, and return what is set then. Raises AskingError."""
        body = msgspec.json.encode({"guild_id": str(guild_id), "changes": changes})
        found = msgspec.json.decode(await self._ask("guild_config.set", body, ANSWER_S * 2), type=GuildConfig)
        self._keep(str(guild_id), found)
        return found

    def take(self, message: GuildsChanged) -> None:
        """Take what the supervisor tells. Guilds that nobody has asked for are not kept."""
        if message.all_else:
            self._kept = OrderedDict((key, (config, False)) for key, (config, _) in self._kept.items())
        for told in message.guilds:
            if told.guild_id in self._kept:
                self._keep(told.guild_id, told.config)
            elif (task := self._asking.pop(told.guild_id, None)) is not None:
                # Its answer may be older than what is told here.
                task.add_done_callback(lambda _, told=told: self._keep(told.guild_id, told.config))  # type: ignore[misc] # bound at once
        self.version = max(self.version, message.guilds_version)

    async def _look_up(self, key: str) -> GuildConfig:
        before = self._kept.get(key, (DEFAULT_GUILD_CONFIG, False))[0]
        if time.monotonic() < self._away_until:
            return before
        try:
            body = msgspec.json.encode({"guild_id": key})
            found = msgspec.json.decode(await self._ask("guild_config.get", body, ANSWER_S), type=GuildConfig)
        except (AskingError, msgspec.DecodeError) as fault:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("what is set in guild %s could not be asked for: %s", key, fault)
            return before
        self._keep(key, found)
        return found

    def _keep(self, key: str, config: GuildConfig) -> None:
        self._kept[key] = config, True
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
