"""A bot beside its status as one row, and back into frozen domain objects."""

from typing import Any

import msgspec
import sqlalchemy as sa

from flotilla.db.tables import bot_status, bots
from flotilla.domain.bots import Bot, BotStatus, Desired
from flotilla.domain.config import BotConfig
from flotilla.domain.config_changes import lenient
from flotilla.domain.policy import Overrides, parse_overrides
from flotilla.domain.vitals import parse_vitals
from flotilla.domain.worker import State
from flotilla.errors import FixInputError


def bots_with_status() -> sa.Select[Any]:
    """Select every bot's desired columns, without its token, and its status' columns as `status_…`."""
    desired = [column for column in bots.c if column.name != "token_encrypted"]
    observed = [column.label(f"status_{column.name}") for column in bot_status.c]
    return sa.select(*desired, *observed).select_from(bots.outerjoin(bot_status))


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
