"""A bot's cache on disk: a snapshot, and behind it the events that changed the cache since.

An event is appended once it was handled, so the log is whole at any moment, that of a SIGKILL included, and leaving the
cache to a successor costs nothing. Snapshots only keep the log short; they are packed beside the event loop.
"""

import asyncio
import contextlib
import errno
import logging
import os
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.thread import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from worker_bot.keepsake import HEAD_MAX_BYTES, MAX_BYTES, Found, KeepsakeError, Stamp, pack, unpack
from worker_bot.memory import give_back
from worker_bot.regular import open_regular, read_regular

LOG_MAX_BYTES = 8 * 1024 * 1024
"""A longer log is given up until the next snapshot: it would take a successor most of a second to read."""

COMPACT_BYTES = 256 * 1024
"""A shorter log needs no snapshot: it is read in about 20 ms."""

SMALL_BYTES = 64 * 1024
"""A smaller snapshot is read at once, in some 3 ms: a thread would take longer, and memory for good."""

SETTLE_S = 2.0
"""How long nothing must have changed before a snapshot is taken, unless the log is half full."""

INTERVAL_S = 60.0
"""Mean time between two snapshots, with a quarter of jitter."""

TRIES = 3
"""How often a snapshot that the bot's events overtook is packed anew; then it is packed with the event loop waiting."""

_FRAME = struct.Struct("<II")  # length and checksum of the entry behind
log = logging.getLogger("flotilla.cache")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An event that changed the cache. payload: as JSON."""

    shard_id: int
    session_id: str
    seq: int
    name: str
    payload: bytes


class CacheLog:
    """The files `base.cache` and `base.events`. Whatever is wrong with them is logged, and the bot goes on without."""

    def __init__(self, base: Path) -> None:
        self._snapshot = base.with_name(f"{base.name}.cache")
        self._events = base.with_name(f"{base.name}.events")
        self._descriptor = -1
        self._bytes = 0
        self._era = 0
        self._next_at = 0.0
        self._changed_at = 0.0
        self.changes = 0
        """How often the cache changed."""
        self.whole = False
        """Whether the files tell all that the cache of this process holds."""

    async def load(
        self,
        cache: Any,  # noqa: ANN401 - hikari's, with its private stores
        apply: Callable[[Entry, Any], None],
        resumed: Mapping[int, tuple[str, int]],
    ) -> bool:
        """Fill an empty cache with what was left behind, and return whether that could be done.

        Where there is much to read, that is done beside the event loop, which can connect meanwhile.

        apply: lets an event, with its payload, change the cache. resumed: session and last sequence number handled of
        each shard that goes on with its session. What does not tell of just these sessions is not taken.
        """
        try:
            small = not self._snapshot.exists() or self._snapshot.stat().st_size < SMALL_BYTES
            found, entries = self._read(cache) if small else await asyncio.to_thread(self._read, cache)
            self._restore(cache, found, entries, apply, resumed)
            if not small:
                asyncio.get_running_loop().call_later(SETTLE_S, give_back)
        except (KeepsakeError, OSError) as fault:
            if not isinstance(fault, FileNotFoundError):
                log.warning("the bot goes on with an empty cache: %s", fault)
            cache.clear()
            self.drop()
        else:
            self.whole = True
        return self.whole

    def begin(self) -> None:
        """Start over, the cache being empty."""
        self.drop()
        with self._giving_up():
            self._open()
            self.whole = True

    def note(self, shard_id: int, session_id: str, seq: int, name: str, payload: Any) -> None:  # noqa: ANN401
        """Append an event, as Discord sent it, that has just changed the cache."""
        self.changes += 1
        self._changed_at = time.monotonic()
        if not self.whole:
            return
        with self._giving_up():
            entry = Entry(shard_id, session_id, seq, name, msgspec.json.encode(payload))
            body = msgspec.msgpack.encode(entry)
            frame = _FRAME.pack(len(body), zlib.crc32(body)) + body
            if self._bytes + len(frame) > LOG_MAX_BYTES:
                raise KeepsakeError("too much happened since the last snapshot")
            if os.write(self._descriptor, frame) != len(frame):
                raise OSError("the disk is full")
            self._bytes += len(frame)

    def due(self, now: float) -> bool:
        """Return whether a snapshot should be taken at monotonic second `now`."""
        if now < self._next_at or not self.changes:
            return False
        settled = now - self._changed_at >= SETTLE_S
        return (settled and (not self.whole or self._bytes >= COMPACT_BYTES)) or self._bytes >= LOG_MAX_BYTES // 2

    async def compact(self, cache: Any, stamp: Callable[[], Stamp]) -> None:  # noqa: ANN401
        """Take a snapshot and empty the log. stamp: tells where the shards are right now."""
        self._next_at = time.monotonic() + INTERVAL_S * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        with self._giving_up():
            for _ in range(TRIES):
                before = self._era, self.changes
                try:
                    await _aside(partial(self._write, cache, stamp()))
                except KeepsakeError:
                    if before == (self._era, self.changes):
                        raise
                else:
                    if before == (self._era, self.changes):
                        self._commit()
                        return
                if before[0] != self._era:
                    return
            self._write(cache, stamp())
            self._commit()

    def drop(self) -> None:
        """Forget all: a successor finds nothing."""
        self.whole = False
        self._era += 1
        self._bytes = 0
        for path in (self._events, self._snapshot, self._written):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _written(self) -> Path:
        return self._snapshot.with_name(f"{self._snapshot.name}.new")

    def _write(self, cache: Any, stamp: Stamp) -> None:  # noqa: ANN401
        packed = pack(cache, stamp)
        self._written.unlink(missing_ok=True)
        with os.fdopen(
            os.open(self._written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(packed)
        del packed
        give_back()

    def _commit(self) -> None:
        # Should the process die between the two, the entries that the snapshot has already are passed over by their
        # sequence numbers.
        self._written.replace(self._snapshot)
        if self._descriptor < 0:
            self._open()
        os.ftruncate(self._descriptor, 0)
        self._bytes = 0
        self.whole = True

    def _open(self) -> None:
        self.close()
        self._descriptor = open_regular(self._events, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._bytes = os.fstat(self._descriptor).st_size

    def _read(self, cache: Any) -> tuple[Found | None, list[tuple[int, Entry]]]:  # noqa: ANN401
        found = None
        if self._snapshot.exists():
            found = unpack(cache, _content(self._snapshot, MAX_BYTES + HEAD_MAX_BYTES))
        return found, list(_entries(_content(self._events, LOG_MAX_BYTES)))

    def _restore(
        self,
        cache: Any,  # noqa: ANN401
        found: Found | None,
        entries: list[tuple[int, Entry]],
        apply: Callable[[Entry, Any], None],
        resumed: Mapping[int, tuple[str, int]],
    ) -> None:
        stamped: dict[int, tuple[str, int]] = {}
        if found is not None:
            found.fill(cache)
            stamped = found.stamp.shards
        known = {shard_id: session_id for shard_id, (session_id, _) in stamped.items()}
        whole = 0
        for end, entry in entries:
            if _is_behind(entry, resumed):
                break  # the process died between handling it and noting that: it is replayed, and noted then
            if not _is_within(entry, stamped):
                apply(entry, _decoded(entry))
                known[entry.shard_id] = entry.session_id
            whole = end
        if any(known.get(shard_id) != session_id for shard_id, (session_id, _) in resumed.items()):
            raise KeepsakeError("what was left behind is of another session")
        self._open()
        os.ftruncate(self._descriptor, whole)
        self._bytes = whole

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except (KeepsakeError, OSError, TypeError, ValueError) as fault:
            log.warning("the cache is not kept for a successor until the next snapshot: %s", fault)
            self.drop()


async def _aside(call: Callable[[], None]) -> None:
    """Call beside the event loop, in a thread that ends with it: a worker's thread at rest costs half a megabyte."""
    with_one = ThreadPoolExecutor(1, "cache")
    try:
        await asyncio.get_running_loop().run_in_executor(with_one, call)
    finally:
        with_one.shutdown(wait=False)


def _is_within(entry: Entry, stamped: Mapping[int, tuple[str, int]]) -> bool:
    session_id, seq = stamped.get(entry.shard_id, (None, 0))
    return entry.session_id == session_id and entry.seq <= seq


def _is_behind(entry: Entry, resumed: Mapping[int, tuple[str, int]]) -> bool:
    session_id, seq = resumed.get(entry.shard_id, (None, 0))
    return entry.session_id == session_id and entry.seq > seq


def _decoded(entry: Entry) -> Any:  # noqa: ANN401 - whatever Discord sent
    try:
        return msgspec.json.decode(entry.payload)
    except msgspec.DecodeError as fault:
        raise KeepsakeError("the events left behind are damaged") from fault


def _content(path: Path, most: int) -> bytes:
    try:
        return read_regular(path, most)
    except OSError as fault:
        if fault.errno == errno.EFBIG:
            raise KeepsakeError(f"{path.name} is larger than {most} bytes") from fault
        raise


def _entries(content: bytes) -> Iterator[tuple[int, Entry]]:
    """Yield each entry with the offset behind it. A SIGKILL may have cut the last one short: it is passed over."""
    at = 0
    while at + _FRAME.size <= len(content):
        length, checksum = _FRAME.unpack_from(content, at)
        body = content[at + _FRAME.size : at + _FRAME.size + length]
        at += _FRAME.size + length
        if len(body) < length:
            return
        if zlib.crc32(body) != checksum:
            raise KeepsakeError("the events left behind are damaged")
        try:
            yield at, msgspec.msgpack.decode(body, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise KeepsakeError("the events left behind are damaged") from fault
