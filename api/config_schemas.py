"""What the API says of configs."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from flotilla.db.configs import Changed
from flotilla.domain import config_record as domain
from flotilla.domain.bots import BotView
from flotilla.domain.config import BotConfig, GuildConfig
from flotilla.domain.config_checks import asked_of_discord
from flotilla.domain.config_effects import Change, Effect, changes_of, whole_effect
from flotilla.domain.reasons import reason


class Refused(Struct, frozen=True):
    """A version that the bot could not be run with. It is not tried again before it is changed, or a restart asked for.

    detail: what the worker said. runs: the version that the bot has gone back to.
    """

    version: int
    reason_code: str
    reason: str
    remedy: str
    detail: str
    at: datetime
    runs: int | None

    @classmethod
    def of(cls, view: BotView) -> "Refused | None":
        """Return the refusal of the config that is wanted, None if it is not refused."""
        refused = view.refused
        if refused is None:
            return None
        row = reason(refused.code)
        runs = view.outcome.good_version
        return cls(refused.version, refused.code, row.title, row.remedy, refused.detail, refused.at, runs)


class BotConfigView(Struct, frozen=True):
    """How a bot is to be. version: of that; it is the ETag as well. running: the version that its worker runs.

    refused: why it cannot be run with; null: it can, or has not been tried.
    """

    bot_id: str
    version: int
    config: BotConfig
    running: int | None
    good_version: int | None
    refused: Refused | None

    @classmethod
    def of(cls, view: BotView) -> "BotConfigView":
        """Return the answer for a bot."""
        bot = view.bot
        outcome = view.outcome
        running = view.status.config_version
        return cls(bot.id, bot.config_version, bot.config, running, outcome.good_version, Refused.of(view))


class ConfigChanged(Struct, frozen=True):
    """What a change does, or would do. effect: the most that any of `changes` takes.

    session_starts: how many of its 1,000 in 24 hours the bot has to spend for it. switch_on: privileged intents that
    have to be switched on in the Developer Portal first. version: null in a dry run that would change something.
    """

    bot_id: str
    version: int | None
    config: BotConfig
    effect: Effect
    session_starts: int
    switch_on: tuple[str, ...]
    changes: tuple[Change, ...]
    dry_run: bool

    @classmethod
    def of(cls, bot_id: str, changed: Changed, *, dry_run: bool) -> "ConfigChanged":
        """Return the answer to a change."""
        before, after = changed.before, changed.after
        effect = whole_effect(before, after)
        version = None if dry_run and before != after else changed.version
        starts = int(effect is Effect.NEW_SESSION)
        switch_on = asked_of_discord(before, after)
        return cls(bot_id, version, after, effect, starts, switch_on, changes_of(before, after), dry_run)


class ConfigVersion(Struct, frozen=True):
    """One version that there was. changed_by: name of the API key; empty for the one before the first change."""

    version: int
    config: BotConfig
    at: datetime
    changed_by: str


class ConfigHistory(Struct, frozen=True):
    """The last versions of a bot's config, newest first."""

    items: list[ConfigVersion]

    @classmethod
    def of(cls, versions: list[domain.Version]) -> "ConfigHistory":
        """Return the answer for these versions."""
        return cls([ConfigVersion(row.version, row.config, row.at, row.changed_by) for row in versions])


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version's config is set anew."""

    version: Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ChangeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """dry_run: only say what would change, and how."""

    dry_run: bool = False


class GuildConfigView(Struct, frozen=True):
    """What is set for a bot in one guild. version: of that, the ETag as well; 0: nothing was set yet."""

    bot_id: str
    guild_id: str
    version: int
    config: GuildConfig
    updated_at: datetime | None

    @classmethod
    def of(cls, bot_id: str, found: domain.GuildVersion) -> "GuildConfigView":
        """Return the answer for a guild."""
        return cls(bot_id, found.guild_id, found.version, found.config, found.updated_at)
