"""supervisord in the foreground, as it is, but for how it ends.

`python foreground.py PYTHON SUPERVISORD_ARGUMENTS…`, run by the Python of supervisord's own environment, so this
imports nothing of Flotilla's. A closed terminal (SIGHUP) ends it as Ctrl-C does; to supervisord alone it would mean to
restart everything. Where SIGHUP is ignored, as under nohup, it stays so. When supervisord has ended and left
something, this process becomes `flotilla sweep`, with Flotilla's PYTHON, which ends that.
"""

import contextlib
import ctypes
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# Under these names only supervisord's environment has them; in Flotilla's, `supervisor` is our own program.
options: Any = import_module("supervisor.options")
supervisord: Any = import_module("supervisor.supervisord")


class Options(options.ServerOptions):  # type: ignore[misc] # known at run time
    """supervisord's options, where it asks for its signals."""

    def setsignals(self) -> None:
        """Receive signals as supervisord does, a SIGHUP as SIGTERM."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super().setsignals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else self._end)

    def server_configs_from_parser(self, parser: Any) -> Any:  # noqa: ANN401 - supervisord's
        """Have the socket ask for the home's key: every bot of this user could connect to it."""
        found = super().server_configs_from_parser(parser)
        key = Path(os.environ["FLOTILLA_HOME"], "supervisord.key").read_text().strip()
        for server in found:
            server.update(username="flotilla", password=key)
        return found

    def _end(self, _number: int, frame: object) -> None:
        self.signal_receiver.receive(signal.SIGTERM, frame)


def hide_environment() -> None:
    """Let no process of this user read this one's: the environment holds passwords (prctl(2), PR_SET_DUMPABLE)."""
    with contextlib.suppress(OSError, AttributeError):  # without that, it runs as well
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


def is_alone() -> bool:
    """Return whether nothing of the fleet is left. This process is the subreaper: all that is left is its child."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False


def main(python: str, arguments: list[str]) -> None:
    """Be supervisord until it ends, then `flotilla sweep` if anything is left."""
    hide_environment()
    supervisord.ServerOptions = Options
    supervisord.main(arguments)
    if is_alone():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.execv(python, [python, "-P", "-m", "flotilla", "sweep"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
