"""What a sealed worker does for its successor: it stays connected, and passes on what its shards receive.

The two speak over a Unix socket in the bot's own folder. For each of the worker's shards the successor either releases
it, because it has resumed the session, or takes what the shard has received since the seal and goes on to receive.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from flotilla.peer import credentials
from flotilla.protocol import SEALED_S, Decoder, FrameDecoder, ProtocolError, frame
from flotilla.tasks import spawn
from worker_bot.overlap import MAX_BYTES, MAX_EVENTS, encode

VERSION = 1
SOCKET = "handover.sock"
MAX_FRAME_BYTES = 32 * 1024 * 1024
"""A GUILD_CREATE of a large guild takes some megabytes."""

ALONE_S = 5.0
"""How long a worker waits for a successor: a supervisor that died meanwhile takes about as long to come back."""

SETTLE_S = 0.25
"""The same event reaches two sessions at slightly different moments; for so long they are waited for."""

LOOK_S = 0.02
READ_BYTES = 64 * 1024
log = logging.getLogger("flotilla.session")


class _Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    pass


class Greeting(_Message, frozen=True, tag=True):
    """First of all, from the sealed worker: its shards of how many, and the bot's own user."""

    version: int
    shard_ids: tuple[int, ...]
    shard_count: int
    user_id: int


class Passed(_Message, frozen=True, tag=True):
    """An event that a shard received after the seal. payload: JSON."""

    shard_id: int
    name: str
    payload: bytes


class Ended(_Message, frozen=True, tag=True):
    """Nothing of this shard follows. lost: events that there was no room for."""

    shard_id: int
    lost: int


class Give(_Message, frozen=True, tag=True):
    """Pass on what the shard received since the seal, and goes on to receive: it has no session any more."""

    shard_id: int


class Finish(_Message, frozen=True, tag=True):
    """The shard has a session of its own that is READY: end when what is under way has come."""

    shard_id: int


class Release(_Message, frozen=True, tag=True):
    """The shard needs nothing: it has resumed the session."""

    shard_id: int


FromSealed = Greeting | Passed | Ended
FromSuccessor = Give | Finish | Release
from_sealed: Decoder[FromSealed] = Decoder(FromSealed)
_from_successor: Decoder[FromSuccessor] = Decoder(FromSuccessor)
_encoder = msgspec.msgpack.Encoder()


def framed(message: FromSealed | FromSuccessor) -> bytes:
    """Return a message as one frame."""
    return frame(_encoder.encode(message))


@contextlib.contextmanager
def short_path(folder: Path) -> Any:  # noqa: ANN401 - a generator of a path
    """Yield a path to a folder's socket that is short enough for the kernel, wherever the folder is (unix(7))."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def is_own(peer: socket.socket) -> bool:
    """Return whether the process at the other end runs as this user."""
    _, uid = credentials(peer)
    return bool(uid == os.geteuid())


class Outbox:
    """What the shards of a sealed worker received and nobody took yet, within bounds: the oldest is dropped."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: deque[Passed] = deque()
        self._bytes = 0
        self.lost: dict[int, int] = {}
        self.pass_on: dict[int, asyncio.StreamWriter] = {}
        """To whom the events of a shard go at once instead."""

    def keep(self, shard_id: int, name: str, payload: Any) -> None:  # noqa: ANN401 - as Discord sent it
        """Take an event."""
        event = Passed(shard_id, name, encode(payload))
        writer = self.pass_on.get(shard_id)
        if writer is not None:
            _write(writer, event)
            return
        self._waiting.append(event)
        self._bytes += len(event.payload)
        while len(self._waiting) > self._max_events or self._bytes > self._max_bytes:
            oldest = self._waiting.popleft()
            self._bytes -= len(oldest.payload)
            self.lost[oldest.shard_id] = self.lost.get(oldest.shard_id, 0) + 1

    def take(self, shard_id: int) -> list[Passed]:
        """Return what waits of a shard, oldest first, and keep it no longer."""
        taken = [event for event in self._waiting if event.shard_id == shard_id]
        self._waiting = deque(event for event in self._waiting if event.shard_id != shard_id)
        self._bytes = sum(len(event.payload) for event in self._waiting)
        return taken


class Handover:
    """Serves successors, one after the other, until none is needed any more.

    is_connected: whether a shard still receives events.
    """

    def __init__(
        self,
        folder: Path,
        outbox: Outbox,
        shard_ids: Iterable[int],
        shard_count: int,
        user_id: int,
        is_connected: Callable[[int], bool],
    ) -> None:
        self._folder = folder
        self._outbox = outbox
        self._is_connected = is_connected
        self._greeting = Greeting(VERSION, tuple(shard_ids), shard_count, user_id)
        self._open = set(self._greeting.shard_ids)
        self._began = self._left_at = time.monotonic()
        self._writer: asyncio.StreamWriter | None = None
        self._went_alone = False

    async def listen(self) -> None:
        """Let successors in from now on. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._serve, sock=_bound(self._folder))

    def close(self) -> None:
        """Serve nobody any more."""
        self._server.close()
        if self._writer is not None:
            self._writer.close()

    def over(self) -> str:
        """Return why the worker is not needed any more, or an empty string."""
        now = time.monotonic()
        if now - self._began > SEALED_S:
            return "its time is up"
        if not self._open and not (self._writer and self._writer.transport.get_write_buffer_size()):
            return "its successor has all it needs"
        if self._writer is not None:
            return ""
        if self._went_alone:
            return "its successor needs nothing"
        if not any(map(self._is_connected, self._greeting.shard_ids)):
            return "its sessions are closed or taken over"
        return "no successor came" if now - self._left_at > ALONE_S else ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None or not is_own(writer.get_extra_info("socket")):
            writer.close()
            return
        self._writer = writer
        try:
            _write(writer, self._greeting)
            await self._converse(reader, writer)
        except ConnectionError:
            pass  # it has what it needs, or has died
        except (OSError, ProtocolError, msgspec.DecodeError) as fault:
            log.warning("the connection to the successor broke: %r", fault)
        finally:
            # One that never took anything went on without this worker, and handles what comes by itself.
            self._went_alone = not self._outbox.pass_on and self._open == set(self._greeting.shard_ids)
            self._outbox.pass_on.clear()
            self._writer, self._left_at = None, time.monotonic()
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        while received := await reader.read(READ_BYTES):
            for body in decoder.feed(received):
                self._take(_from_successor.decode(body), writer)

    def _take(self, message: FromSuccessor, writer: asyncio.StreamWriter) -> None:
        match message:
            case Give(shard_id) if shard_id in self._open:
                for event in self._outbox.take(shard_id):
                    _write(writer, event)
                self._outbox.pass_on[shard_id] = writer
            case Finish(shard_id) if shard_id in self._open:
                spawn("the end of a hand-over", self._finish(shard_id, writer))
            case Release(shard_id):
                self._open.discard(shard_id)
            case _:
                pass

    async def _finish(self, shard_id: int, writer: asyncio.StreamWriter) -> None:
        if self._is_connected(shard_id):
            await asyncio.sleep(SETTLE_S)
        if self._writer is not writer:
            return
        _write(writer, Ended(shard_id, self._outbox.lost.get(shard_id, 0)))
        self._open.discard(shard_id)


def _bound(folder: Path) -> socket.socket:
    """Return a socket in a folder, for this user alone; it replaces what a worker before left behind."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with short_path(folder) as path:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
            Path(path).chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _write(writer: asyncio.StreamWriter, message: FromSealed) -> None:
    """Send a message; give a successor up that does not read."""
    if writer.transport.get_write_buffer_size() > 2 * MAX_BYTES:
        writer.transport.abort()
    else:
        writer.write(framed(message))
