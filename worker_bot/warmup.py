"""Lives a worker's life before any fork, again and again, so that no worker pays for a first time.

Imports that hikari, lightbulb and aiohttp make lazily, caches that fill on first use and a first connection all happen
here, once, and are shared by every worker. So does what the interpreter learns of code that runs often: it writes that
into the code itself, and a page that is written to after the fork is a page more for the worker. The event loop that
this needs is closed again before the first fork, and whatever fails here costs only speed.
"""

import asyncio
import contextlib
import functools
import logging
import os
import platform
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from flotilla.domain.config import BUILT_IN
from flotilla.protocol import Fork, WorkerConfig, WorkerLimits
from flotilla.tasks import awaited
from worker_bot import asking, callbacks, code, prepared, responses, rest, seam, session_file, stacks
from worker_bot.output import configure_logging, redirect_output
from worker_bot.stubs import StubDiscord, StubSupervisor
from worker_bot.worker import HAND_OVER, run_worker

WARM_UP_TIMEOUT_S = 10.0
LIVES = 10
"""The interpreter settles a function after it ran eight times (CPython 3.11, QUICKENING_WARMUP_DELAY)."""

HEARTBEAT_S = 0.002
"""So that hearts beat within a life, which lasts about 20 ms."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
"""Lives make fifty files, and a disk's file system remembers for seconds those that are removed."""

PREFIX = "flotilla-warm-up-"
LEFT_S = 60.0
"""A folder for lives that is older than this has been left by somebody: a warm-up is over after `WARM_UP_TIMEOUT_S`."""

EXTENSIONS = tuple(BUILT_IN.values())
_SIGNALS = (signal.SIGINT, signal.SIGTERM, HAND_OVER)
log = logging.getLogger("flotilla.warmup")


def warm_up() -> None:
    """Live the dry lives. Never raises: without them workers are only slower and larger."""
    # hikari names it to Discord with each IDENTIFY, and each time Python would start the program `file` to find out.
    platform.architecture = functools.cache(platform.architecture)
    # asyncio asks for them with each handler that is set, and Python makes 64 objects each time.
    signal.valid_signals = functools.cache(signal.valid_signals)
    with _undone():
        with code.seen() as begun:
            _begin()
        _run(begun)
        for _ in range(_lives_more()):
            _begin()


@contextmanager
def _undone() -> Iterator[None]:
    """Undo what a worker does to its process, let nothing of it be heard, and only tell of what fails."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with _unheard():
            yield
    except (Exception, asyncio.CancelledError):
        log.warning("the warm-up failed; workers start cold", exc_info=True)
    finally:
        for install in (
            asking.install,
            callbacks.install,
            callbacks.watch,
            responses.install,
            rest.install,
            seam.install,
        ):
            install(None)
        stacks.uninstall()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _unheard() -> Iterator[None]:
    """Let what is logged and printed meanwhile go nowhere, by the way that it goes in a worker."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    streams, descriptors = (sys.stdout, sys.stderr), [os.dup(each) for each in (0, 1, 2)]
    try:
        yield
    finally:
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        sys.stdout, sys.stderr = streams
        root.handlers[:] = handlers
        if root.level != level:
            root.setLevel(level)


def _lives_more() -> int:
    """Return how many lives follow the first one; with a debugger the interpreter settles nothing."""
    return LIVES if sys.gettrace() is None else 0


def _begin() -> None:
    """Begin as a worker does, and end."""
    redirect_output(Path(os.devnull))
    configure_logging(sys.stderr)
    asyncio.run(asyncio.sleep(0))


def _run(begun: dict[int, CodeType]) -> None:
    folder = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    _sweep(Path(folder or tempfile.gettempdir()))
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as own:
            asyncio.run(asyncio.wait_for(_in_a_world(Path(own), begun), WARM_UP_TIMEOUT_S))
    finally:
        session_file.close_all()  # all workers would have them: a way from one bot to another


def _sweep(folder: Path) -> None:
    """Remove what fork servers have left that were killed while they warmed up."""
    for left in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = left.lstat()
            if found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > LEFT_S:
                shutil.rmtree(left, ignore_errors=True)


@dataclass(slots=True)
class _World:
    """What lives are lived in. lived: how many were."""

    discord: StubDiscord
    folder: Path
    lived: int = 0


async def _in_a_world(folder: Path, begun: dict[int, CodeType]) -> None:
    discord = StubDiscord()
    limits = WorkerLimits(heartbeat_s=HEARTBEAT_S)
    config = WorkerConfig(f"{await discord.start()}/api/v10", EXTENSIONS, "INFO", limits)
    supervisor = StubSupervisor(folder / "control", config)
    await supervisor.start()
    await _lives(_World(discord, folder), begun)
    supervisor.stop()
    await discord.stop()


async def _lives(world: _World, begun: dict[int, CodeType]) -> None:
    with code.seen() as seen:
        ends = [await _life(world)]
    code.pack(begun | seen)
    ends += [await _life(world) for _ in range(_lives_more())]
    await asyncio.gather(*ends)


async def _life(world: _World) -> asyncio.Future[int]:
    """Live until a command is answered; return how the life ends: hikari waits when it closes a connection."""
    session = world.folder / str(world.lived) / "session"
    session.parent.mkdir()
    world.lived += 1
    fork = Fork("warm", "warm", 1, b"", str(world.folder / "control"), os.devnull, str(session))
    world.discord.answered.clear()
    stop = asyncio.Event()
    await prepared.make(EXTENSIONS)
    life = awaited(run_worker(fork, stop))
    answered = awaited(world.discord.answered.wait())
    await asyncio.wait({life, answered}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    return life
