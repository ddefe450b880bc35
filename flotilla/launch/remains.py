"""Which programs of a home are alive, supervisord or no supervisord."""

import contextlib
import socket
from pathlib import Path

import psutil

from flotilla.home import ProgramLock
from flotilla.launch.layout import PROGRAMS, supervisord_socket
from flotilla.mark import mark_of, worn_mark
from flotilla.peer import credentials
from flotilla.processes import command_line
from flotilla.settings import Settings

_WITHOUT_LOCK = ("sandbox", "welcome")
_TIMEOUT_S = 1.0


def live_programs(settings: Settings) -> dict[str, int]:
    """Return the pid of every live program of this home, by name; bots are not among them."""
    found = {program: pid for program in PROGRAMS if (pid := ProgramLock(settings, program).holder()) is not None}
    valkey = listener(settings.valkey_socket)
    return found | ({"valkey": valkey} if valkey else {}) | _started_by_supervisord(settings)


def listener(path: Path) -> int | None:
    """Return the pid of the process that listens on a Unix socket, or None. Valkey overwrites its environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(str(path))
            pid, _ = credentials(connection)
        except OSError:
            return None
    return pid or None


def _started_by_supervisord(settings: Settings) -> dict[str, int]:
    """Find the programs that hold no lock by the mark supervisord leaves in the environment of what it starts."""
    url = f"unix://{supervisord_socket(settings)}"
    found: dict[str, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            name = environment.get("SUPERVISOR_PROCESS_NAME", "")
            if environment.get("SUPERVISOR_SERVER_URL") == url and name in _WITHOUT_LOCK:
                found[name] = process.pid
        if _is_welcome(process.pid, settings):
            found["welcome"] = process.pid
    return found


def _is_welcome(pid: int, settings: Settings) -> bool:
    """A command of ours shows its environment to root alone."""
    return command_line(pid).endswith(b"\0flotilla\0welcome\0") and worn_mark(pid) == mark_of(settings.home)
