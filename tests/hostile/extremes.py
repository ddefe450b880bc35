"""Every message that a worker can send, with every field of it set to what no worker of ours sends."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.happenings import Occurrence
from flotilla.domain.heap import Allocation, HeapReport, HeapType
from flotilla.domain.metrics import Counts
from flotilla.protocol import (
    VERSION,
    Ask,
    AskIdentify,
    Beat,
    CommandsRan,
    Configured,
    Failing,
    Fetch,
    FromWorker,
    GatewayAnswer,
    GatewaySeen,
    Happened,
    Heap,
    Hello,
    IdentifiedAlone,
    InvalidRequests,
    Measured,
    NotReady,
    Probed,
    Ready,
    Sealed,
    Without,
)

EXTREMES: tuple[Any, ...] = (
    float("nan"),
    float("inf"),
    float("-inf"),
    1e300,
    -1e300,
    -1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    "",
    "\0",
    "a\0b",
    "\ufffd" * 70,
    "x" * 300,
    "x" * 10_000,
    b"",
    b"\x00\xff" * 40,
    None,
    True,
    [],
    [[]],
    [[2**31, 2**31]],
    {},
    {"\0": "\0"},
    {"a": float("nan")},
    {"a": b"\xff"},
    {"a": {"b": {"c": [float("inf")]}}},
)

ULID = "01K00000000000000000000000"
LOG = CommandLog(ULID, 1.7e9, Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2, 3, 4, {"a": 1}, 1.0, 2.0)
REPORT = HeapReport(
    1, 1, 1, 1, 1, (HeapType("a.b", 1, 1),), {"guilds": 1}, 1.0, 1.0, (Allocation("a.py:1", 1, 1),), 1.0
)

USUAL: tuple[FromWorker, ...] = (
    Hello(VERSION, "bot", 1, b"secret", running=True, ready=True),
    Fetch("bot", 1, b"secret", "log", 0, 1),
    Ready(),
    NotReady(),
    Beat(1.0, 1),
    Probed("ok", "", 1.0, 1, 1.0),
    Failing("crashed", "why"),
    Sealed(),
    Without("log", "ENOSPC"),
    InvalidRequests(((1, 1),), "403 GET /"),
    Heap(1, REPORT),
    AskIdentify(0, 1, renewed=False),
    IdentifiedAlone(0, 1.0),
    GatewaySeen(GatewayAnswer("wss://example.org", 1, 1000, 1000, 1, 1.0)),
    CommandsRan(1, (LOG,), 1),
    Configured(1, "live", "detail"),
    Ask(1, "about.uptime", b""),
    Measured(Counts({"command answered": 1}, {"READY": 1}, {"2xx": 1}), {"guilds": 1}, 1.0),
    Happened(1, (Occurrence(ULID, 1.7e9, "guild_left", {"guild": "x"}),), 1),
)
assert {type(message) for message in USUAL} == set(get_args(FromWorker)), "each message that a worker can send"


def spoilt(message: FromWorker) -> Iterator[tuple[str, bytes]]:
    """Yield the body of `message` with one value after the other in each place of it, and where that is."""
    usual = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    for path in places(usual):
        for value in EXTREMES:
            yield f"{type(message).__name__}{path} = {value!r:.40}", msgspec.msgpack.encode(put(usual, path, value))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each value inside of lists and maps, the outermost first."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of `value` with `new` at `path`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy
