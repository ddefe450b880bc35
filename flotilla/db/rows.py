"""A bot beside its status as one row, and back into frozen domain objects."""

from typing import Any

import msgspec
import sqlalchemy as sa

from flotilla.db.tables import bot_status, bots, config_outcomes
from flotilla.domain.bots import Bot, BotStatus, Desired
from flotilla.domain.config import BotConfig, GuildConfig
from flotilla.domain.config_changes import lenient
from flotilla.domain.config_record import NO_OUTCOME, ConfigOutcome, GuildVersion, Refusal
from flotilla.domain.policy import Overrides, parse_overrides
from flotilla.domain.vitals import parse_vitals
from flotilla.domain.worker import State
from flotilla.errors import FixInputError


def bots_with_status() -> sa.Select[Any]:
    """Select every bot's desired columns, without its token, its status as `status_…`, its config's as `outcome_…`."""
    desired = [column for column in bots.c if column.name != "token_encrypted"]
    observed = [column.label(f"status_{column.name}") for column in bot_status.c]
    outcome = [column.label(f"outcome_{column.name}") for column in config_outcomes.c]
    joined = bots.outerjoin(bot_status).outerjoin(config_outcomes, config_outcomes.c.bot_id == bots.c.id)
    return sa.select(*desired, *observed, *outcome).select_from(joined)


def bot_of(row: sa.Row[Any], tags: tuple[str, ...] = ()) -> Bot:
    """Return the bot in a row of `bots_with_status`; its tags live in rows of their own."""
    return Bot(
        row.id,
        row.name,
        row.application_id,
        tags,
        Desired(row.desired),
        row.desired_epoch,
        row.created_at,
        row.deleted_at,
        row.stacks_epoch,
        overrides_of(row.overrides),
        row.heap_epoch,
        row.heap_trace_s,
        config_of(row.config),
        row.config_version,
        row.guilds_version,
        row.commands_epoch,
        tuple(row.secret_names or ()),
    )


def overrides_of(stored: dict[str, Any] | None) -> Overrides:
    """Return stored overrides; what this release does not understand must not keep its bot from running."""
    try:
        return parse_overrides(stored or {})
    except FixInputError:
        return Overrides()


def config_of(stored: dict[str, Any] | None) -> BotConfig:
    """Return a stored config; of one that a newer release wrote, what this one understands."""
    return lenient(stored or {}, BotConfig)


def guild_version_of(row: sa.Row[Any]) -> GuildVersion:
    """Return a row of `guild_configs`; of a config that a newer release wrote, what this one understands."""
    config = lenient(row.config, GuildConfig)
    return GuildVersion(row.guild_id, config, row.version, row.guilds_version, row.updated_at)


def outcome_of(row: sa.Row[Any]) -> ConfigOutcome:
    """Return what came of a bot's configs, in a row of `bots_with_status`."""
    if row.outcome_at is None:
        return NO_OUTCOME
    good = None if row.outcome_good_version is None else config_of(row.outcome_good)
    refused = None
    if row.outcome_refused_version is not None:
        refused = Refusal(row.outcome_refused_version, row.outcome_code, row.outcome_detail, row.outcome_at)
    return ConfigOutcome(row.outcome_good_version, good, refused)


def stored_config(config: BotConfig) -> dict[str, Any] | None:
    """Return a config as it is stored: without what is left to its default."""
    found: dict[str, Any] = msgspec.to_builtins(config)
    return found or None


def status_of(row: sa.Row[Any]) -> BotStatus:
    """Return the status in a row of `bots_with_status`; a bot never observed is STOPPED."""
    if row.status_bot_id is None:
        return BotStatus(row.id)
    return BotStatus(
        row.id,
        State(row.status_state),
        row.status_ready,
        row.status_reason,
        row.status_generation,
        row.status_epoch,
        row.status_failures,
        row.status_pid,
        row.status_process_started_at,
        row.status_secret_hash,
        row.status_memory_bytes,
        row.status_latency_ms,
        row.status_since,
        row.status_heartbeat_at,
        parse_vitals(row.status_vitals),
        row.status_fork_server,
        tuple(row.status_failed_at or ()),
        row.status_config_version,
    )
