"""The worker's end of the control channel: finds its supervisor, again and again, for as long as the worker lives."""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable
from pathlib import Path

from flotilla.domain.bounds import plain
from flotilla.protocol import (
    VERSION,
    Beat,
    Failing,
    FrameDecoder,
    FromWorker,
    Heap,
    Hello,
    InvalidRequests,
    NotReady,
    Probed,
    ProtocolError,
    Ready,
    Refused,
    Sealed,
    ToWorker,
    Without,
    encode,
    to_worker,
)
from worker_bot import forked

RETRY_MIN_S = 0.2
RETRY_MAX_S = 0.5
"""A new supervisor should have adopted every worker within 2 s, so a worker never waits longer than this to try."""

DRAIN_TIMEOUT_S = 2.0
UNREAD_BYTES = 256 * 1024
"""What is kept for a supervisor that does not read, beside what the kernel keeps. Beyond it the connection is given up:
the next one begins with what is true then, and what must not be lost is told again until it is safe."""

READ_BYTES = 64 * 1024
log = logging.getLogger("flotilla.link")


class RefusedError(Exception):
    """The supervisor does not want this worker to run; it must end."""


class Link:
    """Says Hello on every new connection, passes the answer on, and sends what the worker reports.

    Reports made while the supervisor is away are not kept: Hello tells the state anew, and heartbeats are worth
    nothing late.
    """

    def __init__(self, path: Path, bot_id: str, generation: int, secret: bytes) -> None:
        self._path = path
        self._bot_id = bot_id
        self._generation = generation
        self._secret = secret
        self._writer: asyncio.StreamWriter | None = None
        self.versions: Callable[[], tuple[int, int]] = lambda: (-1, -1)
        """Of the config that the bot runs with, and of the newest change of a guild's that it knows; for Hello."""
        self.lacks: list[Without] = []
        """What the worker has to do without; told on every connection."""
        self.running = False
        self.ready = False
        self._sealed = False

    @property
    def unread_bytes(self) -> int:
        """What waits here because the supervisor does not read, beside what the kernel keeps."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    async def keep(self, on_message: Callable[[ToWorker], None]) -> None:
        """Stay connected for ever. Raises RefusedError when the supervisor refuses this worker.

        on_message: told of every message but a refusal.
        """
        while True:
            try:
                await self._converse(on_message)
            except (OSError, TimeoutError, ProtocolError, EOFError) as error:
                log.debug("the control connection is gone: %r", error)
            finally:
                self._writer = None
            await asyncio.sleep(random.uniform(RETRY_MIN_S, RETRY_MAX_S))  # noqa: S311 - jitter, not a secret

    def report_ready(self, *, ready: bool, resumed: bool = False) -> None:
        """Tell that the gateway session came up or broke. resumed: no new session was begun for it."""
        self.ready = ready
        self.send(Ready(resumed) if ready else NotReady())

    def report_beat(self, latency_ms: float | None, shared_bytes: int | None) -> None:
        """Tell that the event loop turns, and the vital signs that come with it."""
        if not self.unread_bytes:
            self.send(Beat(latency_ms, shared_bytes))  # behind others that nobody has read yet it says nothing new

    def report_invalid(self, message: InvalidRequests) -> None:
        """Tell of invalid requests."""
        self.send(message)

    def report_heap(self, heap: Heap) -> None:
        """Tell what the memory is made of."""
        self.send(heap)

    def report_probed(self, probed: Probed) -> None:
        """Tell what the worker's own probes found."""
        self.send(probed)

    def report_without(self, lack: Without) -> None:
        """Tell what the worker has to do without, now and on every further connection."""
        if lack not in self.lacks:
            self.lacks.append(lack)
            self.send(lack)

    def report_sealed(self) -> None:
        """Tell that the worker has handed over, now and on every further connection."""
        self._sealed = True
        self.send(Sealed())

    async def report_failing(self, code: str, detail: str) -> None:
        """Tell why the worker is about to exit, and wait until that is on its way."""
        self.send(Failing(plain(code, 64), plain(detail, 8000)))
        if self._writer is not None:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._writer.drain(), DRAIN_TIMEOUT_S)

    def send(self, message: FromWorker) -> bool:
        """Send a message; return False if the supervisor is away."""
        if self._writer is None or self._writer.is_closing():
            return False
        if self.unread_bytes > UNREAD_BYTES:
            log.warning("the supervisor does not read; the connection to it is made anew")
            self._writer.transport.abort()
            return False
        self._writer.write(encode(message))
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect at once or raise OSError: a Unix socket has somebody who listens, or has not.

        Hundreds of workers try this again and again while a new supervisor wants the same cores to start on, so an
        attempt that fails is two system calls.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(str(self._path))
            forked.keep_private(sock.fileno())
            return await asyncio.open_unix_connection(sock=sock)
        except BaseException:
            forked.forget(sock.fileno())
            sock.close()
            raise

    async def _converse(self, on_message: Callable[[ToWorker], None]) -> None:
        reader, writer = await self._connect()
        descriptor = writer.get_extra_info("socket").fileno()
        try:
            who = (self._bot_id, self._generation, self._secret)
            hello = Hello(VERSION, *who, self.running, self.ready, *self.versions())
            told: list[FromWorker] = [*self.lacks, *([Sealed()] if self._sealed else [])]
            writer.write(encode(hello) + b"".join(encode(message) for message in told))
            self._writer = writer
            decoder = FrameDecoder()
            while received := await reader.read(READ_BYTES):
                for body in decoder.feed(received):
                    message = to_worker.decode(body)
                    if isinstance(message, Refused):
                        raise RefusedError(message.why)
                    on_message(message)
        finally:
            forked.forget(descriptor)
            writer.close()
