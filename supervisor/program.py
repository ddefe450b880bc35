"""Composes the supervisor and runs it until told to stop.

SIGTERM: end and leave the bots running, unless supervisord itself shuts down. SIGINT: stop the bots, then end.
"""

import asyncio
import resource
import signal

from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.configs import SqlConfigs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.start import begin_with
from flotilla.db.stock import SqlStock
from flotilla.db.uptime import SqlUptime
from flotilla.hardening import forbid_core_dumps
from flotilla.home import ProgramLock, prepare_home
from flotilla.program import run_program
from flotilla.secrets import TokenVault
from flotilla.settings import Settings
from supervisor.late_nudges import LateNudges
from supervisor.parent import everything_stops
from supervisor.supervisor import Supervisor
from supervisor.zygote import ForkServerProcess


def run(fork_server: ForkServerProcess | None) -> int:
    """Run the program, with a fork server if one is warming up already; return the exit code."""
    try:
        return run_program("supervisor", lambda settings: main(settings, fork_server))
    finally:
        if fork_server is not None:
            fork_server.end()


async def main(settings: Settings, fork_server: ForkServerProcess | None) -> None:
    """Run until SIGTERM or SIGINT. Raises SetupError when this home cannot be supervised."""
    forbid_core_dumps()
    prepare_home(settings)
    # Held until this process is gone, its fork server included: `flotilla down` waits for that.
    ProgramLock(settings, "supervisor").acquire()
    _raise_file_limit()
    database = Database(settings.effective_database_url)
    nudges = LateNudges(settings)
    try:
        await begin_with(database, settings, "supervisor")
        supervisor = Supervisor(
            settings,
            SqlFleetStore(database),
            nudges,
            TokenVault(settings.key_file),
            SqlRollovers(database),
            SqlSessions(database),
            SqlCommandLogs(database),
            SqlConfigs(database),
            SqlUptime(database),
            SqlStock(database),
            fork_server,
        )
        database.availability.report("supervisor", settings, supervisor.database_was_away)
        stop = asyncio.Event()
        signals: list[signal.Signals] = []
        _install_handlers(stop, signals)

        async def stop_bots() -> bool:
            return signal.SIGINT in signals or await everything_stops()

        await supervisor.run(stop, stop_bots())
    finally:
        await database.close()


def _install_handlers(stop: asyncio.Event, received: list[signal.Signals]) -> None:
    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def _raise_file_limit() -> None:
    """A worker costs four descriptors here: its pidfd, its control connection, its log and its statm."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
