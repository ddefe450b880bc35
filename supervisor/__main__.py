"""`python -m supervisor`: starts the fork server, and while that warms up, everything else.

Unless there are workers to take over: they come first, and want both the time that the fork server would take.
"""

import gc
import sys

from flotilla.mark import wear_mark
from supervisor.zygote import ForkServerProcess, home, workers_may_live


def _import_structlog_alone() -> None:
    """Import structlog as it is where rich is not installed.

    It would take rich along, a tenth of this program's start, to colour tracebacks that no terminal shows.
    """
    sys.modules["rich"] = None  # type: ignore[assignment] # what the import system takes for "there is none"
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


def _fork_server() -> ForkServerProcess | None:
    try:
        return None if workers_may_live() else ForkServerProcess.spawn()
    except OSError:
        return None  # tried again when the first bot is to start, and told by then


if __name__ == "__main__":
    wear_mark(home())  # before there is a fork server, whose workers are to carry it
    fork_server = _fork_server()
    # What imports make stays, so there is nothing to collect, and nothing of it to look at again later.
    gc.disable()
    _import_structlog_alone()
    from supervisor.program import run  # imported here, since these imports take as long as the warm-up

    gc.freeze()
    gc.enable()
    sys.exit(run(fork_server))
