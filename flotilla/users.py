"""A user that is one bot's alone, ended as a whole."""

import contextlib
import subprocess
import sys

from flotilla.mark import worn_by
from flotilla.processes import pids, uid_of

KILL_TIMEOUT_S = 10.0
KILL_ALL = "import os, signal; os.kill(-1, signal.SIGKILL)"


def kill_user(uid: int, home: int | None) -> None:
    """Kill every process of a user at once, so that nothing is begotten in between. For a user that is a bot's alone.

    home: its mark; if two homes have given their bots one user, nothing is done. Raises OSError.
    """
    if any(uid_of(pid) == uid and worn_by(pid).home not in {None, home} for pid in pids()):
        return
    command = [sys.executable, "-I", "-S", "-c", KILL_ALL]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, user=uid, group=uid, extra_groups=[], timeout=KILL_TIMEOUT_S, check=False)  # noqa: S603
