"""Code of a bot that means harm: it goes for other bots, for the supervisor's files, and for the control socket."""

import asyncio
import ctypes
import gc
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightbulb

from flotilla.protocol import NotReady, encode
from worker_bot.link import Link

loader = lightbulb.Loader()
FRAMES = encode(NotReady()) * 1000
PTRACE_ATTACH = 16
TASKS: list[asyncio.Task[None]] = []


def _link() -> Link:
    return next(found for found in gc.get_objects() if isinstance(found, Link))


def _ptrace(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _read(place: Path) -> None:
    if place.suffix:
        place.read_bytes()
    else:
        list(place.iterdir())


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as fault:
        return type(fault).__name__
    return "DONE"


@loader.command
class Pry(lightbulb.SlashCommand, name="pry", description="Try to read files and to meddle with a process."):
    paths = lightbulb.string("paths", "files and folders, separated by colons")
    pid = lightbulb.integer("pid", "a process")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        proc = Path(f"/proc/{self.pid}")
        acts: dict[str, Callable[[], object]] = {
            "kill": lambda: os.kill(self.pid, 0),
            "ptrace": lambda: _ptrace(self.pid),
            "environ": (proc / "environ").read_bytes,
            "memory": (proc / "mem").open,
            "files": lambda: [entry.readlink() for entry in (proc / "fd").iterdir()],
            "prlimit": lambda: resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (64, 64)),
            "become root": lambda: os.setuid(0),
        }
        for name in self.paths.split(":"):
            acts[name.rpartition("/")[2]] = partial(_read, Path(name))
        await ctx.respond(";".join(f"{name}={_outcome(act)}" for name, act in acts.items()))


@loader.command
class Torrent(lightbulb.SlashCommand, name="torrent", description="Flood the control socket: frames, or connections."):
    what = lightbulb.string("what", "frames or connections")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        flood = _send_frames if self.what == "frames" else _connect
        TASKS.append(asyncio.create_task(flood(_link())))
        await ctx.respond("flooding")


async def _send_frames(link: Link) -> None:
    while True:
        writer = link._writer
        if writer is None:
            await asyncio.sleep(0.01)
            continue
        writer.write(FRAMES)
        await writer.drain()


async def _connect(link: Link) -> None:
    held = []
    while True:
        try:
            _reader, writer = await asyncio.open_unix_connection(str(link._path))
            held.append(writer)
        except OSError:
            held.clear()
        await asyncio.sleep(0.001)
