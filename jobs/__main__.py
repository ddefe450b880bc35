"""The job program's process: an arq worker, deliveries of webhooks, and sweeps beside it, until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Collection
from datetime import timedelta

import structlog

from flotilla.db.clocks import SqlClocks
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.engine import Database
from flotilla.db.operations import SqlOperations
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.start import begin_with
from flotilla.db.uptime import SqlUptime
from flotilla.db.webhooks import SqlWebhooks
from flotilla.home import ProgramLock, prepare_home
from flotilla.nudges import ValkeyNudges
from flotilla.program import run_program
from flotilla.queue import open_arq
from flotilla.release import record_release
from flotilla.secrets import TokenVault
from flotilla.settings import Settings
from flotilla.tasks import spawn
from jobs.advance import AdvanceOperation
from jobs.retention import RetentionClock, forget_for_ever
from jobs.sweep import sweep_for_ever
from jobs.webhooks import Deliveries, Sender
from jobs.worker import work

CANCEL_AGAIN_S = 2.0
log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    prepare_home(settings)
    lock = ProgramLock(settings, "jobs")
    lock.acquire()
    staying = spawn("lock", lock.stay())
    record_release(settings, "jobs")
    url = settings.effective_redis_url
    nudges, arq, database = ValkeyNudges(url), open_arq(url), Database(settings.effective_database_url)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await begin_with(database, settings, "jobs")
        operations, webhooks = SqlOperations(database), SqlWebhooks(database)
        clock = RetentionClock(SqlClocks(database))
        forgetting = forget_for_ever(
            clock,
            SqlUptime(database),
            SqlSessions(database),
            SqlCommandLogs(database),
            webhooks,
            operations,
            SqlRollovers(database),
            command_logs_kept=timedelta(days=settings.command_logs_days),
            operations_kept=timedelta(days=settings.operations_days),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work(url, AdvanceOperation(operations, nudges).run)),
                group.create_task(sweep_for_ever(operations, arq)),
                group.create_task(forgetting),
                group.create_task(deliver(webhooks, settings, clock)),
                group.create_task(lock.beat_for_ever()),
            ]
            await stop.wait()
            log.info("jobs.stopping")
            await end(tasks)
    finally:
        staying.cancel()
        await nudges.close()
        await arq.aclose(close_connection_pool=True)
        await database.close()


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended. One that a library made deaf to the first time is cancelled again."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        if pending:
            log.warning("jobs.still_ending", tasks=sorted(repr(task.get_coro()) for task in pending))


async def deliver(webhooks: SqlWebhooks, settings: Settings, clock: RetentionClock) -> None:
    """Deliver operators' webhooks until cancelled."""
    give_up = timedelta(days=settings.webhooks_give_up_days)
    async with Sender(allow_private=settings.webhooks_allow_private) as sender:
        await Deliveries(webhooks, TokenVault(settings.key_file), sender, give_up, clock.now).run()


if __name__ == "__main__":
    sys.exit(run_program("jobs", run))
