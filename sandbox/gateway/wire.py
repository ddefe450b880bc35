"""The socket of one connection: writes effects to it at once and in order, with no task and no queue of its own.

What the socket does not take, its transport buffers; a client that lets too much pile up is cut off.
"""

import asyncio
import socket
import struct

from sandbox import limits
from sandbox.gateway import transport as ws
from sandbox.gateway.connection import Close, CompressPayloads, Drop, Effect, FallSilent, Pace, Send, Truncate
from sandbox.gateway.transport import Packing, ZlibPayloads

_CLOSE_TIMEOUT_S = 1.0  # for a client that neither answers a close nor reads what waits before it
_DRIP_S = 0.02
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST


class Wire:
    """Writes the effects of one connection."""

    def __init__(self, transport: asyncio.Transport, packing: Packing) -> None:
        self._transport = transport
        self._packing = packing
        self._bytes_per_s: float | None = None
        self._slow = bytearray()
        self._drip_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self.silent = False
        """Whether the connection is half open."""

    def emit(self, effect: Effect) -> None:
        """Carry out an effect."""
        if isinstance(effect, Drop):
            self.abort(reset=effect.reset)
        elif self.silent or self._closing:
            return
        elif isinstance(effect, Send):
            self._write(ws.frame(*self._packing.pack(effect.frame)))
        elif isinstance(effect, Close):
            self.close(effect.code, effect.reason)
        elif isinstance(effect, Truncate):
            self._truncate(effect.frame)
        else:
            self._change(effect)

    def _change(self, effect: CompressPayloads | Pace | FallSilent) -> None:
        if isinstance(effect, Pace):
            self._bytes_per_s = effect.bytes_per_s
        elif isinstance(effect, CompressPayloads):
            self._packing = ZlibPayloads()
        else:
            self.silent = True
            self._slow.clear()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and cut the connection if the client does not answer it in time."""
        if not self.silent and not self._closing:
            self._write(ws.close_frame(code, reason))
            self._closing = True
            asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    def pong(self, content: bytes) -> None:
        """Answer a ping."""
        if not self.silent and not self._closing:
            self._write(ws.frame(ws.PONG, content))

    def end(self) -> None:
        """Close the socket once everything is written, or cut it when that takes too long."""
        self._closing = True
        if self._slow:
            self._transport.write(bytes(self._slow))
            self._slow.clear()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection now; with a TCP reset if `reset`."""
        self._closing = True
        reset_or_abort(self._transport, reset=reset)

    def _truncate(self, payload: bytes) -> None:
        whole = ws.frame(*self._packing.pack(payload))
        self._write(whole[: len(whole) // 2])
        self.end()

    def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._bytes_per_s is not None or self._slow:
            self._slow += data
            waiting = len(self._slow)
            if self._drip_timer is None:
                self._drip()
        else:
            self._transport.write(data)
            waiting = self._transport.get_write_buffer_size()
        if waiting > limits.OUTBOX_MAX_BYTES:
            self.abort()

    def _drip(self) -> None:
        self._drip_timer = None
        if self._transport.is_closing():
            return
        size = len(self._slow) if self._bytes_per_s is None else max(1, round(self._bytes_per_s * _DRIP_S))
        self._transport.write(bytes(self._slow[:size]))
        del self._slow[:size]
        if self._slow:
            pause_s = 0.0 if self._bytes_per_s is None else size / self._bytes_per_s
            self._drip_timer = asyncio.get_running_loop().call_later(pause_s, self._drip)


def reset_or_abort(transport: asyncio.Transport, *, reset: bool) -> None:
    """Cut a TCP connection, dropping what waits to be written; with a reset if `reset`."""
    connected = transport.get_extra_info("socket")
    if reset and connected is not None and not transport.is_closing():
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
