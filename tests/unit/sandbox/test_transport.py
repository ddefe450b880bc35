import zlib

import pytest
import zstandard

from sandbox import limits
from sandbox.gateway import transport as ws

PAYLOADS = [b'{"n":%d,"text":"%b"}' % (number, b"word " * number) for number in (1, 2000, 3, 40)]


def test_zlib_stream_is_read_by_a_default_decoder() -> None:
    packing, inflator = ws.packing_of("zlib-stream"), zlib.decompressobj()
    for payload in PAYLOADS:
        opcode, content = packing.pack(payload)
        assert (opcode, content[-4:]) == (ws.BINARY, b"\x00\x00\xff\xff")
        assert inflator.decompress(content) == payload


def test_zstd_stream_is_read_message_by_message_and_never_ends() -> None:
    packing, decoder = ws.packing_of("zstd-stream"), zstandard.ZstdDecompressor().decompressobj()
    for payload in PAYLOADS:
        opcode, content = packing.pack(payload)
        assert opcode == ws.BINARY
        assert decoder.decompress(content) == payload
    assert not decoder.eof


def test_compressed_payloads_are_whole_blobs_and_only_the_large_ones() -> None:
    packing = ws.ZlibPayloads()
    small, large = b"x" * (limits.PAYLOAD_COMPRESS_MIN_BYTES - 1), b"x" * limits.PAYLOAD_COMPRESS_MIN_BYTES
    assert packing.pack(small) == (ws.TEXT, small)
    for _ in range(2):
        opcode, content = packing.pack(large)
        assert (opcode, zlib.decompress(content)) == (ws.BINARY, large)


@pytest.mark.parametrize(
    ("size", "header"), [(125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (65_536, b"\x81\x7f" + (65_536).to_bytes(8))]
)
def test_frame_says_how_long_it_is(size: int, header: bytes) -> None:
    assert ws.frame(ws.TEXT, bytes(size)) == header + bytes(size)


def test_close_frame_holds_a_code_and_a_short_reason() -> None:
    assert ws.close_frame(4004, "x" * 200) == b"\x88\x7d\x0f\xa4" + b"x" * 123
