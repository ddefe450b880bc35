"""What is remembered of configs: the versions there were, and what came of those that bots ran with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flotilla.domain.config import DEFAULT_GUILD_CONFIG, BotConfig, GuildConfig

VERSIONS_KEPT: Final = 20
"""Of each bot's config; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version that there was. at: aware UTC. changed_by: name of the API key."""

    version: int
    config: BotConfig
    at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class GuildVersion:
    """A guild's config as it is now. version: grows by one with each change; 0: nothing was ever set.

    guilds_version: the bot's when it was changed. updated_at: aware UTC.
    """

    guild_id: str
    config: GuildConfig = DEFAULT_GUILD_CONFIG
    version: int = 0
    guilds_version: int = 0
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that could not be run with. code: of `reasons`; detail: what the worker said, without secrets."""

    version: int
    code: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ConfigOutcome:
    """What came of a bot's configs; observed, written by the supervisor alone.

    good: the last one that the bot ran well with, as `good_version`; None: none yet. refused: the version that is not
    tried again until it is changed, or a restart is asked for.
    """

    good_version: int | None = None
    good: BotConfig | None = None
    refused: Refusal | None = None


NO_OUTCOME: Final = ConfigOutcome()
