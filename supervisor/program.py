"""Composes the supervisor and runs it until told to stop.

SIGTERM: end and leave the bots running, unless supervisord itself shuts down. SIGINT: stop the bots, then end.
"""

import asyncio
import resource
import signal
from functools import partial

import structlog

from flotilla.claiming import ClaimedError, acquire
from flotilla.db.claims import SqlClaims
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.configs import SqlConfigs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.start import begin_with
from flotilla.db.stock import SqlStock
from flotilla.db.uptime import SqlUptime
from flotilla.domain.claims import SLOT, Claim, Claimant
from flotilla.home import ProgramLock, prepare_home
from flotilla.installation import claimant
from flotilla.log import share_lines
from flotilla.program import run_program
from flotilla.secrets import TokenVault
from flotilla.settings import Settings
from flotilla.tasks import spawn
from supervisor.awake_loop import AwakeLoop
from supervisor.claim import HeldClaim, turn_away
from supervisor.late_nudges import LateNudges
from supervisor.log_share import LogShare
from supervisor.parent import everything_stops
from supervisor.supervisor import Supervisor
from supervisor.zygote import ForkServerProcess

log = structlog.get_logger()


def run(fork_server: ForkServerProcess | None) -> int:
    """Run the program, with a fork server if one is warming up already; return the exit code."""
    try:
        return run_program("supervisor", lambda settings: main(settings, fork_server), AwakeLoop)
    finally:
        if fork_server is not None:
            fork_server.end()


async def main(settings: Settings, fork_server: ForkServerProcess | None) -> None:
    """Run until SIGTERM or SIGINT. Raises SetupError when this home cannot be supervised."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AwakeLoop)  # noqa: S101 - `run` asked for it
    log_share = LogShare()
    share_lines(log_share)
    prepare_home(settings)
    # Held until this process is gone, its fork server included: `flotilla down` waits for that.
    lock = ProgramLock(settings, "supervisor")
    lock.acquire()
    staying, beating = spawn("lock", lock.stay()), spawn("beat", lock.beat_for_ever())
    _raise_file_limit()
    database = Database(settings.effective_database_url)
    nudges = LateNudges(settings)
    try:
        await begin_with(database, settings, "supervisor")
        claims, mine, store = SqlClaims(database), claimant(settings), SqlFleetStore(database)
        held = await _claim(claims, mine, settings)
        supervisor = Supervisor(
            settings,
            store,
            nudges,
            TokenVault(settings.key_file),
            SqlRollovers(database),
            SqlSessions(database),
            SqlCommandLogs(database),
            SqlConfigs(database),
            SqlUptime(database),
            SqlStock(database),
            loop,
            fork_server,
            log_share,
        )
        database.availability.report("supervisor", settings, supervisor.database_was_away)
        stop = asyncio.Event()
        signals: list[signal.Signals] = []
        _install_handlers(stop, signals)

        claim = HeldClaim(claims, SLOT, mine, held, stop.set, lambda epoch: setattr(store, "fence", (SLOT, epoch)))
        stopped = False

        async def stop_bots() -> bool:
            nonlocal stopped
            stopped = claim.lost_to is not None or signal.SIGINT in signals or await everything_stops()
            return stopped

        holding = spawn("claim", claim.run())
        try:
            own_boot = held.processes_boot_id in {None, mine.boot_id}
            await supervisor.run(stop, stop_bots(), own_boot=own_boot, taken_over=partial(_adopted, claims, mine, held))
        finally:
            holding.cancel()
        await claim.end(bots_stopped=stopped)
    finally:
        staying.cancel()
        beating.cancel()
        await database.close()


async def _claim(claims: SqlClaims, mine: Claimant, settings: Settings) -> Claim:
    """Return our claim. Raises ClaimedError when somebody else runs the bots; then none of this home runs either."""
    try:
        return await acquire(claims, SLOT, mine, say=lambda text: log.info("claim.waiting", why=text))
    except ClaimedError as fault:
        await turn_away(settings.control_socket, fault.message)
        raise


async def _adopted(claims: SqlClaims, mine: Claimant, held: Claim) -> None:
    await claims.adopted(SLOT, held.epoch, mine.boot_id)


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
