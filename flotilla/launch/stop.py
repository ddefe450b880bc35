"""`flotilla down`: stops everything of one home, whoever is still there to be asked."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import bot_status
from flotilla.errors import FlotillaError, RetryError
from flotilla.launch.layout import supervisord_socket
from flotilla.launch.remains import live_programs
from flotilla.launch.supervisord import Supervisord
from flotilla.processes import start_ticks
from flotilla.settings import Settings

WAIT_S = 15.0
_LOOK_EVERY_S = 0.1


def stop_everything(settings: Settings, say: Callable[[str], None], wait_s: float = WAIT_S) -> None:
    """Stop what runs in this home and tell it through `say`.

    Asks supervisord; without one, signals the programs it left: SIGINT to the supervisor, which then stops its bots,
    SIGTERM to the others, and SIGTERM to bots that have no supervisor. Raises RetryError (`still_running`).
    """
    supervisord = Supervisord(supervisord_socket(settings))
    if supervisord.pid() is not None:
        supervisord.shutdown()
        say("supervisord is stopping everything …")
        _wait(lambda: supervisord.pid() is None and not live_programs(settings), wait_s, settings)
        say("Stopped.")
        return
    programs = live_programs(settings)
    for name, pid in programs.items():
        number = signal.SIGINT if name == "supervisor" else signal.SIGTERM
        _signal(pid, number)
        say(f"supervisord is gone; sent {number.name} to the {name} it left (process {pid}).")
    if programs:
        _wait(lambda: not live_programs(settings), wait_s, settings)
    orphans = live_bots(settings)
    for pid in orphans:
        _signal(pid, signal.SIGTERM)
    if orphans:
        say(f"Sent SIGTERM to {len(orphans)} bots that had no supervisor.")
        _wait(lambda: not live_bots(settings), wait_s, settings)
    say("Stopped." if programs or orphans else f"Nothing runs in {settings.home}.")


def live_bots(settings: Settings) -> list[int]:
    """Return the pids of this host's live workers, as last recorded. None can be told without a database."""
    if settings.database_url is None and not (settings.home / "flotilla.db").exists():
        return []
    try:
        recorded = asyncio.run(_recorded(settings))
    except (FlotillaError, sa.exc.SQLAlchemyError):
        return []
    return [pid for pid, started_at in recorded if started_at is not None and start_ticks(pid) == started_at]


async def _recorded(settings: Settings) -> list[tuple[int, int | None]]:
    database = Database(settings.effective_database_url)
    query = sa.select(bot_status.c.pid, bot_status.c.process_started_at).where(bot_status.c.pid.is_not(None))
    try:
        async with database.read() as connection:
            return [(row.pid, row.process_started_at) for row in await connection.execute(query)]
    finally:
        await database.close()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as fault:
        raise RetryError(
            f"Process {pid} belongs to another user. Run `flotilla down` as that user.", code="still_running"
        ) from fault


def _wait(finished: Callable[[], bool], wait_s: float, settings: Settings) -> None:
    deadline = time.monotonic() + wait_s
    while not finished():
        if time.monotonic() > deadline:
            names = ", ".join(f"{name} ({pid})" for name, pid in live_programs(settings).items()) or "supervisord"
            raise RetryError(
                f"After {wait_s:.0f} s there still run: {names}. Look at {settings.log_dir}, or end them with kill.",
                code="still_running",
            )
        time.sleep(_LOOK_EVERY_S)
