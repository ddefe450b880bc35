"""How bots and their guilds are to be: changed by merge patches, one after the other, with the versions before kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.parents import bots_there
from flotilla.db.rows import config_of, guild_version_of, stored_config
from flotilla.db.tables import bot_configs, bots, config_outcomes, guild_configs
from flotilla.db.upsert import upsert
from flotilla.domain.config import BotConfig
from flotilla.domain.config_changes import changed
from flotilla.domain.config_checks import checked
from flotilla.domain.config_record import VERSIONS_KEPT, ConfigOutcome, GuildVersion, Version
from flotilla.errors import FixInputError, NotFoundError

MAX_GUILDS = 10_000
"""Guilds of one bot that may have a config: what the people of guilds set must not fill the operator's disk."""

_LIVE = bots.c.deleted_at.is_(None)


class ChangedMeanwhileError(FixInputError):
    """The version that a change was meant for is not the one that is set."""

    code = "config_changed"

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The config is at version {found}, not {expected}: somebody changed it meanwhile. "
            "Read it again, then send your change with If-Match for that version.",
            version=found,
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """A change of a bot's config. version: of `after`; the one before if nothing changes."""

    before: BotConfig
    after: BotConfig
    version: int


class SqlConfigs:
    """The configs of bots and of their guilds. Every call raises NotFoundError (`bot_unknown`) for a bot not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(
        self, bot_id: str, changes: Mapping[str, object], by: str, *, expected: int | None = None, dry_run: bool = False
    ) -> Changed:
        """Put a merge patch on a bot's config. A patch that changes nothing makes no new version.

        expected: the version that it is meant for. dry_run: only tell what would be.
        Raises ChangedMeanwhileError, and FixInputError (`config_invalid`, `config_too_large`); then nothing changes.
        """
        async with self._database.write() as connection:
            before, version = await _locked(connection, bot_id, expected)
            after = checked(changed(before, changes))
            return await _store(connection, bot_id, Changed(before, after, version), by, dry_run=dry_run)

    async def roll_back(
        self, bot_id: str, version: int, by: str, *, expected: int | None = None, dry_run: bool = False
    ) -> Changed:
        """Set what an earlier version was, as a new version.

        Raises NotFoundError (`version_unknown`), ChangedMeanwhileError, and FixInputError (`config_invalid`) for one
        that this release does not take any more.
        """
        async with self._database.write() as connection:
            before, current = await _locked(connection, bot_id, expected)
            query = sa.select(bot_configs.c.config).where(
                bot_configs.c.bot_id == bot_id, bot_configs.c.version == version
            )
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                raise NotFoundError(
                    f"There is no version {version} of this bot's config any more. Its history shows which there are.",
                    code="version_unknown",
                )
            after = checked(config_of(row.config))
            return await _store(connection, bot_id, Changed(before, after, current), by, dry_run=dry_run)

    async def history(self, bot_id: str) -> list[Version]:
        """Return the versions that are remembered, newest first."""
        async with self._database.read() as connection:
            await _require(connection, bot_id)
            query = sa.select(bot_configs).where(bot_configs.c.bot_id == bot_id).order_by(bot_configs.c.version.desc())
            rows = (await connection.execute(query)).all()
        return [Version(row.version, config_of(row.config), row.at, row.changed_by) for row in rows]

    async def guild(self, bot_id: str, guild_id: str) -> GuildVersion:
        """Return the config of a guild, the default if none was set."""
        async with self._database.read() as connection:
            await _require(connection, bot_id)
            return await _guild(connection, bot_id, guild_id)

    async def change_guild(
        self, bot_id: str, guild_id: str, changes: Mapping[str, object], *, expected: int | None = None
    ) -> GuildVersion:
        """Put a merge patch on a guild's config, and return it.

        Raises ChangedMeanwhileError, and FixInputError (`config_invalid`, `config_too_large`, `guilds_too_many`).
        """
        async with self._database.write() as connection:
            guilds_version = await _lock_guilds(connection, bot_id)
            before = await _guild(connection, bot_id, guild_id)
            if expected is not None and expected != before.version:
                raise ChangedMeanwhileError(expected, before.version)
            after = changed(before.config, changes)
            if after == before.config:
                return before
            if not before.version:
                await _require_room(connection, bot_id)
            now = datetime.now(UTC)
            found = GuildVersion(guild_id, after, before.version + 1, guilds_version + 1, now)
            values = {
                "config": msgspec.to_builtins(after),
                "version": found.version,
                "guilds_version": found.guilds_version,
                "updated_at": now,
            }
            of_guild = (guild_configs.c.bot_id == bot_id, guild_configs.c.guild_id == guild_id)
            if before.version:
                await connection.execute(guild_configs.update().where(*of_guild).values(**values))
            else:
                row = {"bot_id": bot_id, "guild_id": guild_id, **values}
                await connection.execute(guild_configs.insert().values(**row))
            told = bots.update().where(bots.c.id == bot_id).values(guilds_version=found.guilds_version)
            await connection.execute(told)
        return found

    async def guilds_since(self, bot_id: str, guilds_version: int, limit: int) -> list[GuildVersion]:
        """Return at most `limit` configs of guilds that changed after that version, oldest change first."""
        query = (
            sa.select(guild_configs)
            .where(guild_configs.c.bot_id == bot_id, guild_configs.c.guilds_version > guilds_version)
            .order_by(guild_configs.c.guilds_version)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [guild_version_of(row) for row in await connection.execute(query)]

    async def record_outcomes(self, outcomes: Mapping[str, ConfigOutcome], at: datetime) -> None:
        """Store what came of bots' configs, by bot id, in place of what was stored. Passes over bots that are gone."""
        async with self._database.write() as connection:
            known = await bots_there(connection, outcomes)
            rows = [_outcome_row(bot_id, outcomes[bot_id], at) for bot_id in known]
            if rows:
                await connection.execute(upsert(connection.dialect.name, config_outcomes, "bot_id"), rows)


def _outcome_row(bot_id: str, outcome: ConfigOutcome, at: datetime) -> dict[str, Any]:
    refused = outcome.refused
    return {
        "bot_id": bot_id,
        "good_version": outcome.good_version,
        "good": None if outcome.good is None else stored_config(outcome.good),
        "refused_version": None if refused is None else refused.version,
        "code": None if refused is None else refused.code,
        "detail": None if refused is None else refused.detail,
        "at": at if refused is None else refused.at,
    }


async def _locked(connection: AsyncConnection, bot_id: str, expected: int | None) -> tuple[BotConfig, int]:
    query = (
        sa.select(bots.c.config, bots.c.config_version)
        .where(bots.c.id == bot_id, _LIVE)
        .with_for_update(key_share=True)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise _no_bot()
    if expected is not None and expected != row.config_version:
        raise ChangedMeanwhileError(expected, row.config_version)
    return config_of(row.config), row.config_version


async def _store(connection: AsyncConnection, bot_id: str, wanted: Changed, by: str, *, dry_run: bool) -> Changed:
    if dry_run or wanted.after == wanted.before:
        return wanted
    now, version = datetime.now(UTC), wanted.version + 1
    # The one before is there already, unless it is the bot's first.
    rows: list[dict[str, Any]] = [
        {"version": wanted.version, "config": stored_config(wanted.before), "changed_by": ""},
        {"version": version, "config": stored_config(wanted.after), "changed_by": by},
    ]
    of_bot = bot_configs.c.bot_id == bot_id
    there = (await connection.execute(sa.select(sa.func.count()).where(of_bot))).scalar_one()
    for row in rows[1 if there else 0 :]:
        await connection.execute(bot_configs.insert().values(bot_id=bot_id, at=now, **row))
    await connection.execute(bot_configs.delete().where(of_bot, bot_configs.c.version <= version - VERSIONS_KEPT))
    change = bots.update().where(bots.c.id == bot_id)
    await connection.execute(change.values(config=stored_config(wanted.after), config_version=version))
    return Changed(wanted.before, wanted.after, version)


async def _lock_guilds(connection: AsyncConnection, bot_id: str) -> int:
    query = sa.select(bots.c.guilds_version).where(bots.c.id == bot_id, _LIVE).with_for_update(key_share=True)
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise _no_bot()
    return int(found)


async def _guild(connection: AsyncConnection, bot_id: str, guild_id: str) -> GuildVersion:
    query = sa.select(guild_configs).where(guild_configs.c.bot_id == bot_id, guild_configs.c.guild_id == guild_id)
    row = (await connection.execute(query)).one_or_none()
    return GuildVersion(guild_id) if row is None else guild_version_of(row)


async def _require(connection: AsyncConnection, bot_id: str) -> None:
    if (await connection.execute(sa.select(bots.c.id).where(bots.c.id == bot_id))).one_or_none() is None:
        raise _no_bot()


async def _require_room(connection: AsyncConnection, bot_id: str) -> None:
    query = sa.select(sa.func.count()).select_from(guild_configs).where(guild_configs.c.bot_id == bot_id)
    if (await connection.execute(query)).scalar_one() >= MAX_GUILDS:
        raise FixInputError(
            f"{MAX_GUILDS} guilds of this bot have a config already, and no more may.", code="guilds_too_many"
        )


def _no_bot() -> NotFoundError:
    return NotFoundError("There is no bot with this id.", code="bot_unknown")
