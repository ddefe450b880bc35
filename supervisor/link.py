"""One connection of a peer to the control socket: its frames, how fast it may send them, and when it is given up."""

import asyncio
import contextlib
import os
import socket
import time
from typing import Protocol

import structlog

from flotilla.peer import credentials
from flotilla.protocol import (
    MAX_FRAME_BYTES,
    Fetch,
    FrameDecoder,
    FromWorker,
    Hello,
    ProtocolError,
    ToWorker,
    encode,
    from_worker,
)
from supervisor.member import Member
from supervisor.pace import HELLO_COSTS, PER_S, PERSISTS_S

HELLO_TIMEOUT_S = 5.0
READ_BYTES = 16 * 1024
WRITE_BUFFER_BYTES = 64 * 1024
MIN_PAUSE_S = 0.05
MAX_WHY_CHARS = 300
"""Several messages at a time cost a slowed-down peer's supervisor less than each on its own."""

HELLO_BYTES = 1024
"""A stranger's first message, which is Hello, is no larger."""

FLOOD_TOLD_EVERY_S = 60.0

_received = memoryview(bytearray(READ_BYTES))
"""Where all connections read into, one after the other: what one has read is decoded before the next one reads."""

log = structlog.get_logger()


class Keeper(Protocol):
    """Who decides what a peer may do, and what becomes of its messages."""

    def admits(self, link: "Link") -> bool:
        """Return whether a peer that has just connected may speak at all."""

    def meet(self, link: "Link", hello: Hello) -> None:
        """Take a peer's first message."""

    def fetch(self, link: "Link", wanted: Fetch) -> None:
        """Give a worker a file of its own, or nothing, and close the connection."""

    def take(self, member: Member, generation: int, message: FromWorker) -> None:
        """Take a worker's message. Raises ProtocolError."""

    def lost(self, link: "Link") -> None:
        """Note that a peer is gone."""

    def offended(self, member: Member, why: str) -> None:
        """Note that a worker sent what none of ours sends; it is disconnected."""


class Link(asyncio.BufferedProtocol):
    """A stranger until its keeper says whose worker it is; `pid` and `uid` are what the kernel vouches for."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._decoder = FrameDecoder(HELLO_BYTES)
        self._held = False
        self._slowed: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.member: Member | None = None
        self.generation = 0
        self.pid = self.uid = 0

    @property
    def peer(self) -> str:
        """Who speaks: of a bot with a user of its own, all processes together."""
        return f"process {self.pid}" if self.uid == os.getuid() else f"user {self.uid}"

    @property
    def is_open(self) -> bool:
        """Return whether the peer can still be told something."""
        return self._transport is not None and not self._transport.is_closing()

    # What its keeper does --------------------------------------------------------------------------------------------

    def send(self, message: ToWorker) -> bool:
        """Send a message; give a peer up that does not read what it was sent before, and return False."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > WRITE_BUFFER_BYTES:
            log.warning("control.peer_does_not_read", stranger=self.peer)
            transport.abort()
            return False
        transport.write(encode(message))
        return True

    def give(self, descriptor: int) -> None:
        """Send a descriptor, as the first and last thing on this connection. Raises OSError."""
        if self._transport is not None and self.is_open:
            with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as sock:
                socket.send_fds(sock, [b"\0"], [descriptor])

    def hold(self) -> None:
        """Take nothing more from the peer for now: the rest waits in the kernel, at the cost of who sends it."""
        self._held = True
        if self._transport is not None and self.is_open:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Take what has come meanwhile, and what comes."""
        self._held = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._waits and self._transport is not None and self.is_open:
            self._transport.resume_reading()
            self._work(b"")

    @property
    def _waits(self) -> bool:
        return self._held or self._slowed is not None

    def belongs_to(self, member: Member, generation: int) -> None:
        """From now on the peer is this worker."""
        self.member, self.generation = member, generation
        self._decoder.max_bytes = MAX_FRAME_BYTES
        self._stop_timer()

    def close(self) -> None:
        """Close the connection without waiting for a peer that does not read."""
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            self._transport.close()

    # What asyncio does -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream socket
        self._transport = transport
        sock = transport.get_extra_info("socket")
        self.pid, self.uid = credentials(sock)
        if self._keeper.admits(self):
            self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self._drop, "no Hello came in time")
        else:
            self.close()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as the protocol has it
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        self._work(bytes(_received[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if exc is not None:
            self._hear_the_rest()
            self._tell_dropped(f"{type(exc).__name__}: {exc}")
        self._stop_timer()
        if self._slowed is not None:
            self._slowed.cancel()
        self._keeper.lost(self)

    def _hear_the_rest(self) -> None:
        """Take what a worker said before it ended.

        asyncio gives a connection up when a write fails, as an answer to a worker that has just ended does; why that
        one ended would be left unread, and a token that is dead would be tried again. What is left is no more than the
        kernel's buffer holds. A peer that was too fast, or is a stranger, is not heard.
        """
        if self.member is None or self._waits or self._transport is None:
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):  # there is nothing left
            while not self._waits and (received := os.read(descriptor, READ_BYTES)):
                self._work(received)

    # Frames ----------------------------------------------------------------------------------------------------------

    def _work(self, received: bytes) -> None:
        """Take all whole frames, or those up to where the peer must wait; the decoder keeps the rest."""
        try:
            for body in self._decoder.feed(received):
                self._take(from_worker.decode(body))
                # What a worker said before it ended counts, also when it could not be answered any more.
                if self._waits or (self.member is None and not self.is_open):
                    break
            self._spend(0, len(received))
        except (ProtocolError, ValueError) as fault:
            why = f"{type(fault).__name__}: {fault}"
            self._drop(why)
            if self.member is not None:
                self._keeper.offended(self.member, why)

    def _take(self, message: FromWorker) -> None:
        if self.member is None:
            if isinstance(message, Fetch):
                self._keeper.fetch(self, message)
                return
            if not isinstance(message, Hello):
                raise ProtocolError("the first message was not Hello")
            self._keeper.meet(self, message)
            self._spend(HELLO_COSTS, 0)
            return
        self._keeper.take(self.member, self.generation, message)
        self._spend(1, 0)

    def _spend(self, messages: int, size_bytes: int) -> None:
        """Count what came; read no more for a while from a bot that is too fast. Raises ProtocolError if it persists.

        Nothing is read and thrown away: what it sends waits in the kernel, and it waits with it.
        """
        member = self.member
        if member is None:
            return
        pace, now = member.pace, time.monotonic()
        wait_s = pace.take(now, messages, size_bytes)
        if not wait_s:
            return
        if pace.persists(now):
            pace.over_since = None
            raise ProtocolError(f"for {PERSISTS_S:g} s it has sent more than {PER_S:g} messages a second, or as large")
        if self._slowed is not None or not self.is_open:
            return
        if now - member.flood_told_at >= FLOOD_TOLD_EVERY_S:
            member.flood_told_at = now
            log.warning("control.flooded", bot=member.bot.name, pid=member.worker.pid, messages_per_s=PER_S)
        if self._transport is not None:
            self._transport.pause_reading()
        self._slowed = asyncio.get_running_loop().call_later(max(wait_s, MIN_PAUSE_S), self._catch_up)

    def _catch_up(self) -> None:
        self._slowed = None
        self._read_on()

    def _drop(self, why: str) -> None:
        self._tell_dropped(why)
        self.close()

    def _tell_dropped(self, why: str) -> None:
        if self.member is None:
            log.warning("control.dropped", stranger=self.peer, error=why[:MAX_WHY_CHARS])
        else:
            log.warning("control.dropped", bot=self.member.bot.name, error=why[:MAX_WHY_CHARS])

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
