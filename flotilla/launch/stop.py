"""`flotilla down`: stops everything of one home, whoever is still there to be asked, or says what still runs."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flotilla.errors import RetryError
from flotilla.home import ProgramLock
from flotilla.launch.layout import LAUNCHER, SUPERVISORD_CONF, supervisord_socket
from flotilla.launch.living import Look, Process, bot_users, find, lives, living, look, names, send
from flotilla.launch.remains import live_programs
from flotilla.launch.supervisord import Supervisord
from flotilla.mark import mark_of
from flotilla.processes import command_line, uid_of
from flotilla.settings import Settings
from flotilla.users import kill_user

SUPERVISORD = "supervisord"
_LOOK_EVERY_S = 0.1
_LOOK_SOON_S = 0.02
_TOO_QUICK_LOOKS = 10
"""So often something new is found before a bot's user is ended as a whole."""

_ROUNDS = 4
_UNCLEAR_LOOKS = 25
"""Somebody else's processes may come and go all the time. One of ours is seen in one look of so many."""

_DATABASE_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each step of a stop is waited for, in seconds.

    supervisord: for it and what it stops; its own longest waits are 10 s (supervisord.conf), then it sees to what is
    left. programs: for those that it left behind. bots: between SIGTERM and SIGKILL. killed: for what got SIGKILL.
    """

    supervisord_s: float = 25.0
    programs_s: float = 10.0
    bots_s: float = 5.0
    killed_s: float = 5.0


PATIENCE = Patience()


def stop_everything(settings: Settings, say: Say, patience: Patience = PATIENCE) -> None:
    """Stop what runs in this home and tell it through `say`; once it returns, nothing of it lives.

    Asks supervisord, then the programs that it left, then the bots that those left; whoever does not end gets SIGKILL.
    Raises RetryError (`still_running`) that names what lives all the same.
    """
    fleet = _Fleet(settings, say, _recorded_workers(settings, say))
    fleet.programs()
    if not fleet.living():
        say(f"Nothing runs in {settings.home}.")
        return
    fleet.stop_supervisord(patience)
    fleet.stop_programs(patience)
    fleet.end_rest(patience)
    say("Stopped.")


def end_remains(settings: Settings, say: Say, patience: Patience = PATIENCE) -> None:
    """End what a supervisord has left that was this process; say nothing if that is nothing.

    Raises as `stop_everything`.
    """
    me = find(os.getpid())
    fleet = _Fleet(settings, say, {} if me is None else {me.pid: me.started_at})
    if fleet.living():
        fleet.stop_programs(patience)
        fleet.end_rest(patience)
        say("Stopped.")


class _Fleet:
    """What runs in one home, and the steps of its end; each does nothing when there is nothing left for it.

    known: pids and start times of processes that are the home's, with or without its mark.
    """

    def __init__(self, settings: Settings, say: Say, known: dict[int, int]) -> None:
        self._settings = settings
        self._say = say
        self._supervisord = Supervisord(supervisord_socket(settings))
        self._known = dict(known)

    def programs(self) -> dict[int, str]:
        """Return the live programs, supervisord included, by pid."""
        programs = {pid: name for name, pid in live_programs(self._settings).items()}
        parents = {process.parent for process in map(find, programs) if process is not None}
        launcher = ProgramLock(self._settings, LAUNCHER).holder()
        found = {launcher} if launcher else {pid for pid in parents if _is_supervisord(pid)}
        programs |= dict.fromkeys(found - {os.getpid()}, SUPERVISORD)
        self._known |= {process.pid: process.started_at for process in map(find, programs) if process is not None}
        return programs

    def living(self) -> list[Process]:
        """Return all that lives."""
        return living(self._settings, self._known_pids())

    def _known_pids(self) -> set[int]:
        same = (process for process in map(find, self._known) if process is not None)
        return {process.pid for process in same if process.started_at == self._known[process.pid]}

    def stop_supervisord(self, patience: Patience) -> None:
        """Have supervisord stop everything; end it if it does not do so."""
        pids = [pid for pid, name in self.programs().items() if name == SUPERVISORD]
        if self._supervisord.pid() is not None:
            self._say("supervisord is stopping everything …")
            with contextlib.suppress(RetryError):
                self._supervisord.shutdown()
            self._wake()
        elif pids:
            self._say(f"supervisord (process {pids[0]}) does not answer; sent it SIGTERM.")
            send(filter(None, map(find, pids)), signal.SIGTERM)
        else:
            return
        if not within(patience.supervisord_s, lambda: self._supervisord_is_gone(pids)):
            self._say(f"supervisord has not ended after {patience.supervisord_s:.0f} s; killing it.")
            send(filter(None, map(find, pids)), signal.SIGKILL)
            within(patience.killed_s, lambda: not any(map(find, pids)))

    def stop_programs(self, patience: Patience) -> None:
        """Have the programs that supervisord left end; the supervisor stops its bots first."""
        programs = {pid: name for pid, name in self.programs().items() if name != SUPERVISORD}
        for pid, name in programs.items():
            number = signal.SIGINT if name == "supervisor" else signal.SIGTERM
            send(filter(None, [find(pid)]), number)
            self._say(f"supervisord is gone; sent {number.name} to the {name} it left (process {pid}).")
        if programs:
            within(patience.programs_s, lambda: not any(map(find, programs)))

    def end_rest(self, patience: Patience) -> None:
        """End what nobody looks after: SIGTERM to those that lead a session, then SIGKILL to all."""
        left = self.living()
        leaders = [process for process in left if process.pid == process.session] or left
        if leaders:
            self._say(f"Sent SIGTERM to {_workers(leaders)}: {names(leaders, self.programs())}")
            send(leaders, signal.SIGTERM)
            within(patience.bots_s, lambda: not any(map(lives, leaders)))
        began, looks, unclear = time.monotonic(), 0, 0
        while True:
            found = self._stop_begetting()
            looks, unclear = looks + 1, unclear + 1 if found.unclear and not found.processes else 0
            if not found.processes and (not found.unclear or unclear >= _UNCLEAR_LOOKS):
                return
            if found.processes and time.monotonic() - began > patience.killed_s:
                raise _still_running(found.processes, self.programs(), self._settings)
            send(found.processes, signal.SIGKILL)
            if looks % _TOO_QUICK_LOOKS == 0:
                self._kill_users(found.processes)
            time.sleep(_LOOK_SOON_S)

    def _kill_users(self, left: list[Process]) -> None:
        for uid in bot_users(self._settings) & {uid_of(process.pid) for process in left}:
            kill_user(uid, mark_of(self._settings.home))

    def _stop_begetting(self) -> Look:
        """Return all that lives, stopped: killed one by one, those that are left would start others."""
        found: dict[int, Process] = {}
        unclear = False
        for _ in range(_ROUNDS):
            seen = look(self._settings, self._known_pids(), _stop)
            new = [process for process in seen.processes if process.pid not in found]
            found |= {process.pid: process for process in new}
            unclear = seen.unclear
            for process in new:
                _stop(process)
            if not found or not (new or unclear):
                break
        return Look([process for process in found.values() if lives(process)], unclear)

    def _supervisord_is_gone(self, pids: list[int]) -> bool:
        if not self.living():
            return True
        return not any(map(find, pids)) and self._supervisord.pid() is None

    def _wake(self) -> None:
        """Let what was stopped by a signal hear that it is to end."""
        send((process for process in self.living() if process.stopped), signal.SIGCONT)


def _stop(process: Process) -> None:
    if lives(process):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGSTOP)


def _is_supervisord(pid: int) -> bool:
    return os.fsencode(SUPERVISORD_CONF) in command_line(pid)


def _workers(processes: list[Process]) -> str:
    return f"{len(processes)} {'process' if len(processes) == 1 else 'processes'} that had no supervisor"


def _still_running(left: list[Process], programs: dict[int, str], settings: Settings) -> RetryError:
    me = os.geteuid()
    strangers = sorted({owner for process in left if (owner := _owner(process.pid)) not in {me, None}})
    way_out = (
        f"They belong to user {strangers[0]}: run `flotilla down` as that user, or as root."
        if strangers and me
        else f"Look at {settings.log_dir}; what waits for a disk or a network ends when that comes back. "
        "Then run `flotilla down` again."
    )
    count = f"{len(left)} {'process' if len(left) == 1 else 'processes'}"
    return RetryError(
        f"Not stopped: {count} of {settings.home} still run: {names(left, programs)}. {way_out}", code="still_running"
    )


def _owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _recorded_workers(settings: Settings, say: Say) -> dict[int, int]:
    """Return pids and start times of the workers that the database knows: those of a release without marks, too."""
    if settings.database_url is None and not (settings.home / "flotilla.db").exists():
        return {}
    try:
        return asyncio.run(asyncio.wait_for(_ask_database(settings), _DATABASE_S))
    except Exception as fault:  # noqa: BLE001 - whatever is wrong with the database, the fleet can be stopped
        say(f"The database was not asked which bots run ({type(fault).__name__}); looking at the processes alone.")
        return {}


async def _ask_database(settings: Settings) -> dict[int, int]:
    import sqlalchemy as sa  # noqa: PLC0415 - slow to load

    from flotilla.db.engine import Database  # noqa: PLC0415
    from flotilla.db.tables import bot_status  # noqa: PLC0415

    database = Database(settings.effective_database_url)
    query = sa.select(bot_status.c.pid, bot_status.c.process_started_at).where(bot_status.c.pid.is_not(None))
    try:
        async with database.read() as connection:
            rows = await connection.execute(query)
            return {row.pid: row.process_started_at for row in rows if row.process_started_at is not None}
    finally:
        await database.close()


def within(wait_s: float, finished: Callable[[], bool]) -> bool:
    """Return whether it has come to pass in time."""
    deadline = time.monotonic() + wait_s
    while not finished():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True
