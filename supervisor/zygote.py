"""The fork server's process. It is started before anything else is imported, so nothing here takes time to import."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flotilla.domain.environment import of_bots

STOP_TIMEOUT_S = 2.0
CONTROL_SOCKET = Path("run", "workers", "control.sock")
"""In FLOTILLA_HOME: where workers meet their supervisor. It stays when a supervisor leaves its workers behind."""


def home() -> Path:
    """Return the folder of this installation as the settings will have it, before they are read."""
    return Path(os.environ.get("FLOTILLA_HOME") or "var")


def workers_may_live() -> bool:
    """Return whether a supervisor before this one, since the host started, left workers behind in FLOTILLA_HOME.

    A guess from one look at its socket, before the settings are read: either answer only costs time.
    """
    try:
        made_at = (home() / CONTROL_SOCKET).stat().st_ctime
    except OSError:
        return False
    return time.time() - made_at < time.clock_gettime(time.CLOCK_BOOTTIME)


BIND_NOW = "LD_BIND_NOW"
"""The fork server takes it out of its environment again: what a bot starts is no concern of it."""


@dataclass(frozen=True, slots=True)
class ForkServerProcess:
    """A fork server that was started, and our end of the socket between us. It ends when that end is closed.

    output: what it and the modules it imports print, until its workers have logs of their own.
    """

    process: subprocess.Popen[bytes]
    socket: socket.socket
    output: IO[bytes]

    @classmethod
    def spawn(cls) -> "ForkServerProcess":
        """Start one. It warms itself up and says so on the socket. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-P", "-m", "worker_bot.forkserver", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=_environment(),
                )
            except OSError:
                ours.close()
                raise
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        return cls(process, ours, process.stdout)

    def end(self) -> None:
        """Close the socket, wait for the end, insist if it does not come. Blocks for up to twice STOP_TIMEOUT_S.

        One that the kernel itself does not let go, as it waits for a disk, is left to end when it can.
        """
        self.socket.close()
        for _ in range(2):
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
            else:
                return


def _environment() -> dict[str, str]:
    """Return what of our environment bots' code may have.

    The loader finds all functions of all libraries at once (ld.so(8), LD_BIND_NOW), so that no worker has to.
    """
    return of_bots(os.environ) | {BIND_NOW: "1"}
