"""Lives a worker's life before any fork, again and again, so that no worker pays for a first time.

Imports that hikari, lightbulb and aiohttp make lazily, caches that fill on first use and a first connection all happen
here, once, and are shared by every worker. So does what the interpreter learns of code that runs often: it writes that
into the code itself, and a page that is written to after the fork is a page more for the worker. The event loop that
this needs is closed again before the first fork, and whatever fails here costs only speed.
"""

import asyncio
import functools
import logging
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import TextIO

from flotilla.domain.config import BUILT_IN
from flotilla.protocol import Fork, WorkerConfig, WorkerLimits
from worker_bot import asking, callbacks, code, responses, rest, seam, stacks
from worker_bot.child import configure_logging
from worker_bot.stubs import StubDiscord, StubSupervisor
from worker_bot.worker import HAND_OVER, run_worker

WARM_UP_TIMEOUT_S = 10.0
LIVES = 10
"""The interpreter settles a function after it ran eight times (CPython 3.11, QUICKENING_WARMUP_DELAY)."""

EXTENSIONS = tuple(BUILT_IN.values())
_SIGNALS = (signal.SIGINT, signal.SIGTERM, HAND_OVER)
log = logging.getLogger("flotilla.warmup")


def warm_up() -> None:
    """Live the dry lives. Never raises: without them workers are only slower and larger."""
    # hikari names it to Discord with each IDENTIFY, and each time Python would start the program `file` to find out.
    platform.architecture = functools.cache(platform.architecture)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with _unheard() as nowhere, tempfile.TemporaryDirectory(prefix="flotilla-warm-up-") as folder:
            with code.seen() as seen:
                _begin(nowhere)
            asyncio.run(asyncio.wait_for(_lives(Path(folder), seen), WARM_UP_TIMEOUT_S))
            for _ in range(_lives_more()):
                _begin(nowhere)
    except (Exception, asyncio.CancelledError):
        log.warning("the warm-up failed; workers start cold", exc_info=True)
    finally:
        _forget()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _unheard() -> Iterator[TextIO]:
    """Let what is logged meanwhile go nowhere, by the way that it goes in a worker."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    with Path(os.devnull).open("w") as nowhere:
        root.handlers[:] = [logging.StreamHandler(nowhere)]
        root.setLevel(logging.INFO)
        try:
            yield nowhere
        finally:
            root.handlers[:] = before
            root.setLevel(level)


def _forget() -> None:
    """Undo what a worker does to its process."""
    for install in (asking.install, callbacks.install, callbacks.watch, responses.install, rest.install, seam.install):
        install(None)
    stacks.uninstall()


def _lives_more() -> int:
    """Return how many lives follow the first one; with a debugger the interpreter settles nothing."""
    return LIVES if sys.gettrace() is None else 0


def _begin(nowhere: TextIO) -> None:
    """Begin as a worker does, and end."""
    configure_logging(nowhere)
    asyncio.run(asyncio.sleep(0))


async def _lives(folder: Path, begun: dict[int, CodeType]) -> None:
    discord = StubDiscord()
    config = WorkerConfig(f"{await discord.start()}/api/v10", EXTENSIONS, "INFO", WorkerLimits())
    supervisor = StubSupervisor(folder / "control", config)
    await supervisor.start()
    with code.seen() as seen:
        ends = [await _life(discord, folder, 0)]
    code.pack(begun | seen)
    ends += [await _life(discord, folder, 1 + number) for number in range(_lives_more())]
    await asyncio.gather(*ends)
    supervisor.stop()
    await discord.stop()


async def _life(discord: StubDiscord, folder: Path, number: int) -> asyncio.Task[int]:
    """Live until a command is answered; return how the life ends: hikari waits when it closes a connection."""
    session = folder / str(number) / "session"
    session.parent.mkdir()
    fork = Fork("warm", "warm", 1, b"", str(folder / "control"), os.devnull, str(session))
    discord.answered.clear()
    stop = asyncio.Event()
    life = asyncio.create_task(run_worker(fork, stop))
    answered = asyncio.create_task(discord.answered.wait())
    await asyncio.wait({life, answered}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    return life
