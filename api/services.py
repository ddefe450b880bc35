"""What the API is given to work with: explicit, frozen, and replaceable in tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from flotilla.address import bare_host
from flotilla.db.bots import SqlBots
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.configs import SqlConfigs
from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.db.engine import Database
from flotilla.db.happenings import SqlHappenings
from flotilla.db.keys import SqlApiKeys
from flotilla.db.operations import SqlOperations
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.secrets import SqlSecrets
from flotilla.db.sessions import SqlSessions
from flotilla.db.stock import SqlStock
from flotilla.db.supervisors import SqlSupervisors
from flotilla.db.uptime import SqlUptime
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.metrics import BotMetrics, FleetMetrics
from flotilla.domain.policy import Policy
from flotilla.domain.rollover import Pace
from flotilla.live_metrics import ValkeyMetricsReader
from flotilla.nudges import ValkeyNudges
from flotilla.ports import Nudges
from flotilla.queue import ArqQueue, JobQueue
from flotilla.secrets import TokenVault
from flotilla.settings import Settings


class MetricsReader(Protocol):
    """Live metrics."""

    async def fleets(self, slots: Iterable[int]) -> list[FleetMetrics] | None:
        """Return the metrics of the slots that have any; None while the store is away."""

    async def bot(self, slots: Iterable[int], bot_id: str) -> BotMetrics | None:
        """Return a bot's metrics, None if there are none. Raises `flotilla.valkey.AWAY`."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Settings of the API's own, named as in `flotilla.settings`. hosts: names under which it is asked, its own too."""

    metrics_per_bot: int = 1000
    metrics_need_key: bool = False
    webhooks_allow_private: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request may need. No handler finds anything anywhere else.

    installation: whose home `/readyz` looks into; None: it does not.
    """

    database: Database
    bots: SqlBots
    operations: SqlOperations
    keys: SqlApiKeys
    supervisors: SqlSupervisors
    vault: TokenVault
    nudges: Nudges
    queue: JobQueue
    diagnosis: SqlDiagnosis
    uptime: SqlUptime
    happenings: SqlHappenings
    rollovers: SqlRollovers
    sessions: SqlSessions
    command_logs: SqlCommandLogs
    configs: SqlConfigs
    webhooks: SqlWebhooks
    metrics: MetricsReader
    stock: SqlStock
    secrets: SqlSecrets
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)
    serving: Serving = field(default_factory=Serving)
    installation: Settings | None = None


def services_on(
    database: Database,
    vault: TokenVault,
    nudges: Nudges,
    queue: JobQueue,
    policy: Policy | None = None,
    pace: Pace | None = None,
    *,
    metrics: MetricsReader,
    serving: Serving | None = None,
    installation: Settings | None = None,
) -> Services:
    """Return the services whose repositories live in `database`. policy, pace: the fleet's, as they are shown."""
    return Services(
        database,
        SqlBots(database),
        SqlOperations(database),
        SqlApiKeys(database),
        SqlSupervisors(database),
        vault,
        nudges,
        queue,
        SqlDiagnosis(database),
        SqlUptime(database),
        SqlHappenings(database),
        SqlRollovers(database),
        SqlSessions(database),
        SqlCommandLogs(database),
        SqlConfigs(database),
        SqlWebhooks(database),
        metrics,
        SqlStock(database),
        SqlSecrets(database),
        policy or Policy(),
        pace or Pace(),
        serving or Serving(),
        installation,
    )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Yield the services of an installation and close their connections afterwards. Raises SetupError."""
    nudges = ValkeyNudges(settings.effective_redis_url)
    queue = ArqQueue(settings.effective_redis_url)
    metrics = ValkeyMetricsReader(settings.effective_redis_url)
    database = Database(settings.effective_database_url)
    vault = TokenVault(settings.key_file)
    hosts = (bare_host(settings.http_host).lower(), *settings.http_hosts)
    serving = Serving(settings.metrics_per_bot, settings.metrics_need_key, settings.webhooks_allow_private, hosts)
    try:
        yield services_on(
            database,
            vault,
            nudges,
            queue,
            settings.policy,
            settings.pace,
            metrics=metrics,
            serving=serving,
            installation=settings,
        )
    finally:
        await metrics.close()
        await nudges.close()
        await queue.close()
        await database.close()
