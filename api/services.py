"""What the API is given to work with: explicit, frozen, and replaceable in tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from flotilla.db.bots import SqlBots
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.configs import SqlConfigs
from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.db.engine import Database
from flotilla.db.happenings import SqlHappenings
from flotilla.db.keys import SqlApiKeys
from flotilla.db.operations import SqlOperations
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.supervisors import SqlSupervisors
from flotilla.db.uptime import SqlUptime
from flotilla.domain.policy import Policy
from flotilla.domain.rollover import Pace
from flotilla.nudges import ValkeyNudges
from flotilla.ports import Nudges
from flotilla.queue import ArqQueue, JobQueue
from flotilla.secrets import TokenVault
from flotilla.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request may need. No handler finds anything anywhere else."""

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
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)


def services_on(
    database: Database,
    vault: TokenVault,
    nudges: Nudges,
    queue: JobQueue,
    policy: Policy | None = None,
    pace: Pace | None = None,
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
        policy or Policy(),
        pace or Pace(),
    )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Yield the services of an installation and close their connections afterwards. Raises SetupError."""
    nudges = ValkeyNudges(settings.effective_redis_url)
    queue = ArqQueue(settings.effective_redis_url)
    database = Database(settings.effective_database_url)
    try:
        yield services_on(database, TokenVault(settings.key_file), nudges, queue, settings.policy, settings.pace)
    finally:
        await nudges.close()
        await queue.close()
        await database.close()
