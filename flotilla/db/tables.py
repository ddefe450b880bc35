"""The tables, as Alembic builds them. Desired and observed state never share a table, so each has one writer."""

from datetime import UTC, datetime

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes on both databases; SQLite keeps no zone, so one is put back on the way out.

    Raises ValueError for a naive datetime: it would silently shift.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("datetimes in the database are aware UTC")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Desired state: written by API and jobs ------------------------------------------------------------------------------

bots = sa.Table(
    "bots",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("application_id", sa.String(20), nullable=False, unique=True),
    sa.Column("token_encrypted", sa.LargeBinary, nullable=False),
    sa.Column("desired", sa.String(16), nullable=False),
    sa.Column("desired_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("stacks_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("overrides", sa.JSON),
    sa.Column("heap_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("heap_trace_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("config", sa.JSON(none_as_null=True)),
    sa.Column("config_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("guilds_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("commands_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("secrets_version", sa.Integer, nullable=False, server_default="0"),
    # Those of bot_secrets, so that they are read with the bot.
    sa.Column("secret_names", sa.JSON(none_as_null=True)),
)

bot_secrets = sa.Table(
    "bot_secrets",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value_encrypted", sa.LargeBinary, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
)

bot_configs = sa.Table(
    "bot_configs",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("config", sa.JSON(none_as_null=True)),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
)

# guilds_version: the bot's, when this row was changed last; so what changed since is found without looking at the rest.
guild_configs = sa.Table(
    "guild_configs",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("guild_id", sa.String(20), primary_key=True),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("guilds_version", sa.Integer, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index("ix_guild_configs_bot_id_guilds_version", "bot_id", "guilds_version"),
)

bot_tags = sa.Table(
    "bot_tags",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("tag", sa.String(64), primary_key=True, index=True),
)

stock_items = sa.Table(
    "stock_items",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sku", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("category", sa.String(50), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("price", sa.String(50), nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("low_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    # Name, category and sku in the way they are searched: the databases do not agree on the case of all letters.
    sa.Column("folded", sa.Text, nullable=False),
    sa.CheckConstraint("quantity >= 0", name="quantity_not_negative"),
)

# Observed state: written by the supervisor alone ---------------------------------------------------------------------

bot_status = sa.Table(
    "bot_status",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("pid", sa.Integer),
    sa.Column("process_started_at", sa.BigInteger),
    sa.Column("secret_hash", sa.LargeBinary),
    sa.Column("memory_bytes", sa.BigInteger),
    sa.Column("latency_ms", sa.Float),
    sa.Column("since", UtcDateTime),
    sa.Column("heartbeat_at", UtcDateTime),
    sa.Column("vitals", sa.JSON),
    sa.Column("fork_server", sa.Integer),
    sa.Column("failed_at", sa.JSON),
    sa.Column("config_version", sa.Integer),
)

# Beside the status, which is written every few seconds: this is written when it changes.
config_outcomes = sa.Table(
    "config_outcomes",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("good_version", sa.Integer),
    sa.Column("good", sa.JSON(none_as_null=True)),
    sa.Column("refused_version", sa.Integer),
    sa.Column("code", sa.String(64)),
    sa.Column("detail", sa.Text),
    sa.Column("at", UtcDateTime, nullable=False),
)

bot_transitions = sa.Table(
    "bot_transitions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("expected", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_bot_transitions_bot_id_at", "bot_id", "at"),
)

bot_exits = sa.Table(
    "bot_exits",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("exit_code", sa.Integer),
    sa.Column("reason", sa.String(64)),
    sa.Column("tail", sa.Text, nullable=False),
    sa.Index("ix_bot_exits_bot_id_id", "bot_id", "id"),
)

bot_stacks = sa.Table(
    "bot_stacks",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("fault", sa.Text),
)

bot_heaps = sa.Table(
    "bot_heaps",
    metadata,
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("report", sa.JSON(none_as_null=True)),
    sa.Column("fault", sa.Text),
)

supervisors = sa.Table(
    "supervisors",
    metadata,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("vitals", sa.JSON),
)

# Which installation runs the bots of a slot. Written by the supervisor and by `flotilla up`.
supervisor_claims = sa.Table(
    "supervisor_claims",
    metadata,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("installation_id", sa.String(26), nullable=False),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("place", sa.String(64), nullable=False),
    sa.Column("home", sa.Text, nullable=False),
    sa.Column("hostname", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("claimed_at", UtcDateTime, nullable=False),
    sa.Column("beat_at", UtcDateTime, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("yielded", sa.Boolean, nullable=False),
    sa.Column("processes_boot_id", sa.String(64)),
)

# How far time is known to have passed, whatever the system's clock says: what is forgotten by age is judged by it.
clocks = sa.Table(
    "clocks",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("confirmed_at", UtcDateTime, nullable=False),
)

happenings = sa.Table(
    "happenings",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE")),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Index("ix_happenings_bot_id_id", "bot_id", "id"),
)

command_logs = sa.Table(
    "command_logs",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("bot_id", sa.ForeignKey("bots.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("interaction_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("guild_id", sa.BigInteger),
    sa.Column("channel_id", sa.BigInteger),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("first_ms", sa.Float),
    sa.Column("total_ms", sa.Float),
    sa.Column("deferred", sa.Boolean, nullable=False),
    sa.Column("error", sa.String(200)),
    sa.Column("reference", sa.String(26)),
    sa.Index("ix_command_logs_bot_id_id", "bot_id", "id"),
    sa.Index("ix_command_logs_reference", "reference"),
)

# By application and not by bot: a token that is removed and added again has not got its day back.
session_starts = sa.Table(
    "session_starts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("application_id", sa.String(20), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("cause", sa.String(64), nullable=False),
    sa.Index("ix_session_starts_application_id_at", "application_id", "at"),
)

session_limits = sa.Table(
    "session_limits",
    metadata,
    sa.Column("application_id", sa.String(20), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("shards", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("remaining", sa.Integer, nullable=False),
    sa.Column("max_concurrency", sa.Integer, nullable=False),
    sa.Column("resets_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

# Operations ----------------------------------------------------------------------------------------------------------

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("selector", sa.JSON, nullable=False),
    sa.Column("strategy", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("detail", sa.Text),
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
)

operation_items = sa.Table(
    "operation_items",
    metadata,
    sa.Column("operation_id", sa.ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True),
    # No foreign key to bots: what was done to a bot stays told after the bot is removed.
    sa.Column("bot_id", sa.String(26), primary_key=True),
    sa.Column("bot_name", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text),
    sa.Column("target_epoch", sa.Integer),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
)

# Roll-overs ----------------------------------------------------------------------------------------------------------

rollovers = sa.Table(
    "rollovers",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# Written by the supervisor alone.
rollover_status = sa.Table(
    "rollover_status",
    metadata,
    sa.Column("rollover_id", sa.ForeignKey("rollovers.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("wave", sa.Integer, nullable=False),
    sa.Column("old_server", sa.Integer),
    sa.Column("new_server", sa.Integer),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("moved", sa.Integer, nullable=False),
    sa.Column("moving", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("details", sa.Text),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
)

# Webhooks: written by the API, but for how they fare and what is delivered ------------------------------------------

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret_encrypted", sa.LargeBinary, nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("bots", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("last_status", sa.Integer),
    sa.Column("last_error", sa.String(200)),
    sa.Column("last_at", UtcDateTime),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", UtcDateTime),
    sa.Column("why_disabled", sa.String(200)),
    sa.Column("dropped", sa.Integer, nullable=False),
    sa.Column("retry_at", UtcDateTime),
)

# Made with the happening that they tell of, by whoever stores that; carried on by the jobs program alone.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("webhook_id", sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    # No foreign key: only the last happenings of each bot are kept.
    sa.Column("happening_id", sa.String(26)),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime),
    sa.Column("last_status", sa.Integer),
    sa.Column("last_error", sa.String(200)),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("webhook_id", "happening_id"),
    sa.Index("ix_webhook_deliveries_webhook_id_state_next_at", "webhook_id", "state", "next_at"),
    sa.Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
)

# Access --------------------------------------------------------------------------------------------------------------

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("key_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
)
