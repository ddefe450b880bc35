"""Gateway payloads as bytes. An event's body is encoded once, whoever gets it, and framed for each session."""

import msgspec

from sandbox.gateway.codes import Opcode

encode = msgspec.json.Encoder().encode


def control(op: Opcode, body: object = None) -> bytes:
    """Return a payload that is no event."""
    return b'{"t":null,"s":null,"op":%d,"d":%b}' % (op, encode(body))


def event(name: str, seq: int, body: bytes) -> bytes:
    """Return an event as its session sends it; `body` is its JSON."""
    return b'{"t":"%b","s":%d,"op":0,"d":%b}' % (name.encode(), seq, body)


HEARTBEAT = control(Opcode.HEARTBEAT)
HEARTBEAT_ACK = control(Opcode.HEARTBEAT_ACK)
RECONNECT = control(Opcode.RECONNECT)
INVALID_SESSION = {resumable: control(Opcode.INVALID_SESSION, resumable) for resumable in (False, True)}
