"""A bot whose processes do all they can to outlive it; it writes down whether those of the one before did.

Its name says which: kinds of `clingers`, after `cling`, with hyphens between them, then something of its own.
"""

import fcntl
import os
from pathlib import Path

import hikari
import lightbulb

from tests.extensions import clingers

loader = lightbulb.Loader()


@loader.listener(hikari.StartedEvent)
async def cling(_: hikari.StartedEvent, /) -> None:
    """Look whether anybody has the log open who had it with the worker before, then start them."""
    try:
        fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(1, b"beside\n")
    else:
        os.write(1, b"alone\n")
    name = Path(os.readlink("/proc/self/fd/1")).stem  # noqa: PTH115
    clingers.start(name.split("-")[1:-1])
