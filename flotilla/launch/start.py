"""`flotilla up`: checks the installation, makes what is missing, and becomes supervisord."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from flotilla.address import TAKEN_S
from flotilla.claiming import acquire
from flotilla.db.claims import SqlClaims
from flotilla.db.engine import Database
from flotilla.db.schema import upgrade
from flotilla.domain.claims import SLOT
from flotilla.errors import RetryError, SetupError
from flotilla.hardening import adopt_orphans
from flotilla.home import ProgramLock, prepare_home
from flotilla.installation import claimant
from flotilla.launch import probes
from flotilla.launch.admin_key import ensure_admin_key
from flotilla.launch.layout import (
    FOREGROUND,
    LAUNCHER,
    PROGRAMS,
    SUPERVISORD_CONF,
    SUPERVISORD_PYTHON,
    Mode,
    admin_key_file,
    supervisord_socket,
)
from flotilla.launch.living import find, lives, names, send
from flotilla.launch.lost import require_known_database
from flotilla.launch.mode import claim_mode, require_mode
from flotilla.launch.ports import LOOPBACK, sandbox_port
from flotilla.launch.remains import live_programs
from flotilla.launch.stop import within
from flotilla.launch.supervisord import Supervisord
from flotilla.local_keys import ensure_local_keys
from flotilla.mark import wear_mark
from flotilla.release import started_by_supervisord
from flotilla.settings import Settings

STDOUT = 1
ORPHAN_S = 10.0
"""As long as supervisord waits for its slowest program, and a little more."""


def prepare(
    settings: Settings,
    mode: Mode,
    say: Callable[[str], object] = lambda _: None,
    *,
    new_database: bool = False,
    take_over: bool = False,
) -> dict[str, str]:
    """Make the installation ready to run; return the environment supervisord is to be started with.

    Programs that a dead supervisord has left are ended; their bots run on. say: told what takes time, a line each.
    new_database: take an empty one though bots have run in this home. take_over: also if another installation runs the
    bots of the database; it is told to stop them. Raises SetupError or RetryError, with one sentence on how to mend it,
    and then has started nothing.
    """
    probes.supervisord_installed()
    probes.open_files(0)
    probes.certificates()
    probes.confinement(settings)
    prepare_home(settings)
    ensure_local_keys(settings)
    require_mode(settings, mode)
    orphans = require_not_running(settings)
    if not orphans:
        probes.port_free(settings)
    probes.redis_reachable(settings)
    valkey = probes.valkey_binary() if settings.redis_url is None else None
    asyncio.run(_prepare_database(settings, mode, say, new_database=new_database, take_over=take_over))
    if orphans:
        # Last of all: until here the old supervisor has looked after the bots.
        say(f"supervisord of an earlier start is gone; replacing what it left ({', '.join(orphans)}). The bots run on.")
        end_orphans(orphans)
        await_port(settings)
    port = sandbox_port(settings) if mode is Mode.DEMO else None
    return compose_environment(settings, os.environ, valkey, port, console_target(STDOUT, settings))


def become_supervisord(settings: Settings, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by supervisord in the foreground.

    It reaps workers whose fork server died, and all that it starts carries the mark of this home. What it leaves
    when it ends is seen to by `flotilla sweep`. Raises SetupError (`already_running`) if another start was quicker.
    """
    ProgramLock(settings, LAUNCHER).acquire(inheritable=True)
    sys.stdout.flush()
    adopt_orphans()
    wear_mark(settings.home)
    # Isolated: a PYTHONPATH of Flotilla's or an author's must not put another `supervisor` in the place of its own.
    supervisord = [str(SUPERVISORD_PYTHON), "-I", str(FOREGROUND), sys.executable]
    os.execve(SUPERVISORD_PYTHON, [*supervisord, "-n", "-s", "-c", str(SUPERVISORD_CONF)], dict(environment))  # noqa: S606 - no shell is wanted


def compose_environment(
    settings: Settings, base: Mapping[str, str], valkey: str | None, sandbox: int | None, console: str
) -> dict[str, str]:
    """Return what supervisord.conf and the programs read from the environment.

    valkey: the binary of the private Valkey; None when the operator brings a Redis. sandbox: its port in a demo, else
    None. console: the file `welcome` writes to.
    """
    folders = [str(Path(sys.executable).parent), *([str(Path(valkey).parent)] if valkey else [])]
    environment = {
        **base,
        "PATH": os.pathsep.join([*folders, base.get("PATH", os.defpath)]),
        "FLOTILLA_HOME": str(settings.home),
        "FLOTILLA_LOGS": str(settings.log_dir).replace("%", "%%"),
        "FLOTILLA_CONSOLE": console.replace("%", "%%"),
        "FLOTILLA_START_VALKEY": "true" if valkey else "false",
        "FLOTILLA_START_SANDBOX": "true" if sandbox else "false",
        "FLOTILLA_SANDBOX_PORT": str(sandbox or 0),
    }
    if sandbox:
        environment["FLOTILLA_DISCORD_URL"] = f"http://{LOOPBACK}:{sandbox}/api/v10"
    # Client settings: the programs have no use for them, and what a process does not hold it cannot lose.
    environment.pop("FLOTILLA_API_KEY", None)
    environment.pop("FLOTILLA_URL", None)
    environment.pop("FLOTILLA_SANDBOX_KEY", None)
    return environment


def require_not_running(settings: Settings) -> dict[str, int]:
    """Return the programs that a supervisord has left which is gone, by name.

    Raises SetupError (`already_running`) if this home has a live supervisord, or programs that none has started.
    """
    pid = ProgramLock(settings, LAUNCHER).holder() or Supervisord(supervisord_socket(settings)).pid()
    if pid is not None:
        raise SetupError(
            f"Flotilla already runs in {settings.home} (supervisord is process {pid or 'shutting down'}). "
            "Stop it with `flotilla down`, or choose another FLOTILLA_HOME.",
            code="already_running",
        )
    remains = live_programs(settings)
    alone = [name for name in PROGRAMS if name in remains and not started_by_supervisord(settings, name)]
    if alone:
        names = ", ".join(f"{name} ({remains[name]})" for name in alone)
        raise SetupError(
            f"Programs that no supervisord started run in {settings.home}: {names}. Stop them with `flotilla down`.",
            code="already_running",
        )
    return remains


def end_orphans(programs: Mapping[str, int]) -> None:
    """End the programs that a dead supervisord has left; the bots run on, for the next supervisor to adopt.

    Raises RetryError (`still_running`).
    """
    found = [process for process in map(find, programs.values()) if process is not None]
    send(found, signal.SIGTERM)
    if not within(ORPHAN_S, lambda: not any(map(lives, found))):
        send(found, signal.SIGKILL)
        if not within(ORPHAN_S, lambda: not any(map(lives, found))):
            left = names(filter(lives, found), {pid: name for name, pid in programs.items()})
            raise RetryError(
                f"These do not end, even by SIGKILL: {left}. See what they wait for, then run this again.",
                code="still_running",
            )


def await_port(settings: Settings, patience_s: float = TAKEN_S) -> None:
    """Return when the API's port is free: what was ended lets go of it in its own time.

    Raises SetupError as `probes.port_free` if it is not free within `patience_s`.
    """
    if not within(patience_s, lambda: _is_free(settings)):
        probes.port_free(settings)


def _is_free(settings: Settings) -> bool:
    try:
        probes.port_free(settings)
    except SetupError as fault:
        if fault.code != "port_taken":
            raise
        return False
    return True


def console_target(descriptor: int, settings: Settings) -> str:
    """Return a file name that supervisord can open to write to the terminal, pipe or file behind `descriptor`.

    A socket, as systemd's journal gives it, cannot be opened by name; then it is a log file.
    """
    try:
        kind = os.fstat(descriptor).st_mode
    except OSError:
        kind = 0
    usable = stat.S_ISCHR(kind) or stat.S_ISFIFO(kind) or stat.S_ISREG(kind)
    name = f"/dev/fd/{descriptor}"
    return name if usable and os.access(name, os.W_OK) else str(settings.log_dir / "welcome.log")


async def _prepare_database(
    settings: Settings, mode: Mode, say: Callable[[str], object], *, new_database: bool, take_over: bool
) -> None:
    database = Database(settings.effective_database_url)
    try:
        if not new_database:
            await require_known_database(settings, database)
        await upgrade(database)
        await claim_mode(settings, mode, database)
        # Before anything is started, so that people read it here; the supervisor finds the claim to be its own.
        await acquire(SqlClaims(database), SLOT, claimant(settings), take_over=take_over, say=say)
        await ensure_admin_key(database, admin_key_file(settings, mode))
    finally:
        await database.close()
