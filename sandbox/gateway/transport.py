"""How gateway payloads travel: plain, in one compressed stream, or compressed one by one; and websocket framing."""

import struct
import zlib
from typing import Protocol

import zstandard

from sandbox import limits

TEXT, BINARY, CLOSE, PONG = 1, 2, 8, 10
_FINAL = 0x80
_SHORT, _MEDIUM = 126, 1 << 16
STREAMS = ("zlib-stream", "zstd-stream")

_ZSTD = zstandard.ZstdCompressionParameters(
    compression_level=limits.ZSTD_LEVEL,
    window_log=limits.ZSTD_WINDOW_LOG,
    hash_log=limits.ZSTD_TABLE_LOG,
    chain_log=limits.ZSTD_TABLE_LOG,
)


class Packing(Protocol):
    """Turns a payload into the opcode and the content of one websocket message."""

    def pack(self, payload: bytes) -> tuple[int, bytes]:
        """Return (opcode, content). Called once for each payload, in the order in which they are sent."""


class Plain:
    """JSON in text messages."""

    def pack(self, payload: bytes) -> tuple[int, bytes]:
        """Return the payload as it is."""
        return TEXT, payload


class ZlibStream:
    """`compress=zlib-stream`: one zlib stream a connection, flushed after each payload (00 00 ff ff)."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(
            limits.ZLIB_LEVEL, zlib.DEFLATED, limits.ZLIB_WINDOW_BITS, limits.ZLIB_MEMORY_LEVEL
        )

    def pack(self, payload: bytes) -> tuple[int, bytes]:
        """Return the stream's next part."""
        return BINARY, self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class ZstdStream:
    """`compress=zstd-stream`: one zstd frame a connection that never ends, flushed after each payload."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(compression_params=_ZSTD).compressobj()

    def pack(self, payload: bytes) -> tuple[int, bytes]:
        """Return the frame's next blocks."""
        begun = self._compressor.compress(payload)
        return BINARY, begun + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


class ZlibPayloads:
    """`"compress": true` in IDENTIFY: a large payload is one whole zlib blob, a small one stays text."""

    def pack(self, payload: bytes) -> tuple[int, bytes]:
        """Return the payload, compressed if it is large."""
        if len(payload) < limits.PAYLOAD_COMPRESS_MIN_BYTES:
            return TEXT, payload
        return BINARY, zlib.compress(payload)


def packing_of(compress: str) -> Packing:
    """Return the packing for the query parameter `compress`; plain for one the gateway does not speak."""
    if compress == "zlib-stream":
        return ZlibStream()
    return ZstdStream() if compress == "zstd-stream" else Plain()


def frame(opcode: int, content: bytes) -> bytes:
    """Return one whole, unmasked websocket frame (RFC 6455, section 5.2), as a server sends it."""
    size = len(content)
    if size < _SHORT:
        header = struct.pack("!BB", _FINAL | opcode, size)
    elif size < _MEDIUM:
        header = struct.pack("!BBH", _FINAL | opcode, _SHORT, size)
    else:
        header = struct.pack("!BBQ", _FINAL | opcode, _SHORT + 1, size)
    return header + content


def close_frame(code: int, reason: str = "") -> bytes:
    """Return the close frame with a code and a reason of at most 123 bytes."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode()[:123])
