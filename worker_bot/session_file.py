"""A gateway session on disk, where a worker leaves it to the next one.

One small file per shard, mapped into memory: it outlives a SIGKILL, and an event costs one write to it. The file is
worth nothing without the bot's token.
"""

import hashlib
import mmap
import os
import re
import struct
import time
import weakref
from pathlib import Path
from typing import Any

import msgspec

from worker_bot.regular import open_regular

RESUMABLE_S = 120.0
"""How old a session may be and still be tried. Discord documents "a few minutes"; a refusal costs only a round trip."""

MAX_TRIES = 3
"""How many workers may try to resume a session that none of them brings to RESUMED: a replayed event can be deadly."""

_SIZE = 4096
_HEAD = struct.Struct("<8sQdII")  # magic, last sequence number, second of it, tries, length of the session behind
_MARK = struct.Struct("<Qd")
_TRIES = struct.Struct("<I")
_MARK_AT, _TOUCH_AT, _TRIES_AT = 8, 16, 24
_MAGIC = b"flotses2"
_EMPTY = b"\0" * 8
_SHARDED = re.compile(r"\.(\d+)of(\d+)$")


def now_s() -> float:
    """Return seconds since boot, sleep included: a clock that nobody sets, and that all processes of a host share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Session(msgspec.Struct, frozen=True):
    """What READY said, and what else a successor needs to go on.

    me: the bot's own user as READY carried it. gateway_url: where a new session would begin. intents: with which it
    began; None: an older release's. cached: what the bot's cache kept, as `keepsake.kept` has it. token_mark: of the
    token that it began with, as `mark_of` has it, since a session ends with its token; "": an older release's.
    """

    session_id: str
    resume_url: str
    gateway_url: str
    user_id: int
    me: dict[str, Any]
    intents: int | None = None
    cached: str = ""
    token_mark: str = ""


def mark_of(token: str) -> str:
    """Return what tells a bot's tokens apart and gives nothing of them away."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def close_all() -> None:
    """Close all session files of this process that somebody still refers to."""
    for file in list(_open):
        file.close()
    _open.clear()


_open: "weakref.WeakSet[SessionFile]" = weakref.WeakSet()


class SessionFile:
    """The session of one shard on disk. Only one process at a time may have it open. Raises OSError if it cannot be.

    descriptor: of the file, if it was opened already; stays the caller's.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT) if descriptor is None else os.dup(descriptor)
        try:
            if os.fstat(descriptor).st_size != _SIZE:
                os.ftruncate(descriptor, _SIZE)
            os.posix_fallocate(descriptor, 0, _SIZE)  # a write to a page that a full disk has no room for is a SIGBUS
            self._map = mmap.mmap(descriptor, _SIZE)
            self._path, self._inode = path, os.fstat(descriptor).st_ino
            _open.add(self)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let the file go: nothing can be kept any more. A mapping holds a descriptor of its own as long as it is."""
        self._map.close()

    def is_there(self) -> bool:
        """Return whether the file is where a successor will look for it."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def take(self, now: float) -> tuple[Session, int] | None:
        """Return the session left behind and its last sequence number, or None if there is none worth a try.

        Not worth one is a session older than `RESUMABLE_S` at second `now`, a damaged one, or one that `MAX_TRIES`
        workers took and did not `keep`; it is forgotten.
        """
        magic, seq, at, tries, length = _HEAD.unpack_from(self._map)
        if magic == _MAGIC and 0 <= now - at <= RESUMABLE_S and tries < MAX_TRIES:
            body = bytes(self._map[_HEAD.size : _HEAD.size + min(length, _SIZE - _HEAD.size)])
            try:
                session = msgspec.msgpack.decode(body, type=Session)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
            else:
                _TRIES.pack_into(self._map, _TRIES_AT, tries + 1)
                return session, seq
        self.clear()
        return None

    def keep(self, session: Session, seq: int, now: float) -> None:
        """Write a session down that is up. One that does not fit is not kept: its bot restarts cold."""
        body = msgspec.msgpack.encode(session)
        if _HEAD.size + len(body) > _SIZE:
            self.clear()
            return
        self._map[_HEAD.size : _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._map, 0, _MAGIC, seq, now, 0, len(body))

    def mark(self, seq: int, now: float) -> None:
        """Note the last event that was handed to the bot's code."""
        _MARK.pack_into(self._map, _MARK_AT, seq, now)

    def touch(self, now: float) -> None:
        """Note that the session was up at second `now`, though nothing happened in it."""
        struct.pack_into("<d", self._map, _TOUCH_AT, now)

    @property
    def touched_at(self) -> float:
        """When the session was last known to be up; means nothing without one."""
        at: float = _HEAD.unpack_from(self._map)[2]
        return at

    def clear(self) -> None:
        """Forget the session: it has ended."""
        self._map[:8] = _EMPTY


def path_of(base: Path, shard_id: int, shard_count: int) -> Path:
    """Return where a shard's session lies: `base` for a bot of one shard, `base.1of4` for the second of four."""
    return base if shard_count == 1 else base.with_name(f"{base.name}.{shard_id}of{shard_count}")


def left_behind(base: Path, now: float) -> dict[tuple[int, int], tuple[Session, int]]:
    """Take all sessions that lie at `base`; the keys are (shard_id, shard_count), the count the same in all.

    Where there are sessions of several counts, those go on that were up last; the files of the others are removed.
    """
    paths = {shard: path for path in (base, *_siblings(base)) if (shard := _shard_of(base, path))}
    files = {shard: SessionFile(path) for shard, path in paths.items() if path.exists()}
    found = {shard: taken for shard, file in files.items() if (taken := file.take(now)) is not None}
    youngest = max(found, key=lambda shard: files[shard].touched_at, default=(0, 0))
    for shard in files:
        if shard[1] != youngest[1]:
            paths[shard].unlink(missing_ok=True)
    return {shard: taken for shard, taken in found.items() if shard[1] == youngest[1]}


def _siblings(base: Path) -> list[Path]:
    """Return the files whose name begins as that of `base`. No glob: Python would compile a pattern for each bot."""
    try:
        return [path for path in base.parent.iterdir() if path.name.startswith(f"{base.name}.")]
    except FileNotFoundError:
        return []


def _shard_of(base: Path, path: Path) -> tuple[int, int] | None:
    if path == base:
        return (0, 1)
    named = _SHARDED.search(path.name)
    shard = (int(named[1]), int(named[2])) if named else None
    return shard if shard is not None and path == path_of(base, *shard) and shard[0] < shard[1] else None
