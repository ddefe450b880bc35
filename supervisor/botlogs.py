"""Keeps the logs of bots within their share of the disk while the bots write them, without standing in their way.

Workers write straight to their files, opened with O_APPEND, so they need nobody to go on writing, and a file can be
cut under them: the next write lands at its new end. A log that has outgrown a part is copied to the older ones and cut
to nothing; what is written between the last copied byte and the cut, microseconds later, is lost. A log that outgrows
a part again within ROTATE_EVERY_S is cut without a copy, and says so: older lines are worth more than a flood.

Everything here blocks and belongs into a thread. A fault of the disk is logged and changes nothing else: a part that
cannot be kept is dropped, and the cut makes room.
"""

import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from flotilla.botlog import OLD_FILES, old_file, stamp

LOOK_S = 0.1
FLOOD_LOOK_S = 0.02
QUIET_LOOKS = 4
"""A log that has not grown between two looks is passed over by the next ones: most logs of a large fleet are quiet."""

MOVED_LOOKS = 20
"""Every so many looks it is asked whether a log is still where it was: its worker opens another if it is not."""

MOVED_KEPT = 4
"""So many files of one worker that were moved away are held, in case something still writes to them."""

BLOCK_BYTES = 512
"""Of what stat(2) counts blocks in."""

RESERVED_BYTES = 16 * 1024 * 1024
"""File systems reserve some megabytes behind a file that grows by themselves."""

ROTATE_EVERY_S = 1.0
CHUNK_BYTES = 256 * 1024
log = structlog.get_logger()

Key = tuple[str, int]
"""A bot's id and the generation of its worker: a new worker may have opened another file."""


@dataclass(slots=True)
class _Held:
    path: Path
    descriptor: int
    rotated_at: float
    dropped_bytes: int = 0
    size_bytes: int = -1
    grew: bool = True


class BotLogs:
    """The open logs of the workers that live. total_bytes: what one bot's log may take, older parts included.

    Between two looks a log may grow beyond that by what its bot writes meanwhile.
    """

    def __init__(self, total_bytes: int) -> None:
        # A part is cut when it has outgrown this, so it may be a quarter larger than it by then.
        self._part_bytes = total_bytes // (OLD_FILES + 2)
        self._whole_bytes = self._part_bytes * 5 // 4
        self._held: dict[Key, _Held] = {}
        self._moved: dict[Key, list[_Held]] = {}
        self._looks = 0

    def look(self, wanted: Mapping[Key, Path], now: float) -> bool:
        """Bound every log of `wanted`; return whether one is in flood, so that the next look should come soon.

        now: monotonic second. The log of a worker that is gone is looked at once more and let go.
        """
        for gone in self._held.keys() - wanted.keys():
            for held in (*self._moved.pop(gone, ()), self._held.pop(gone)):
                self._bound(held, now)
                os.close(held.descriptor)
        flooded = False
        self._looks += 1
        for turn, (key, path) in enumerate(wanted.items(), self._looks):
            held_now = self._held.get(key) or self._open(key, path)
            if held_now is not None and turn % MOVED_LOOKS == 0:
                held_now = self._look_closer(held_now, key, path)
            if held_now is not None and (held_now.grew or turn % QUIET_LOOKS == 0):
                flooded |= self._bound(held_now, now)
        for moved in self._moved.values():
            for held in moved:
                flooded |= self._bound(held, now)
        return flooded

    def _look_closer(self, held: _Held, key: Key, path: Path) -> _Held | None:
        """Free what is reserved behind a log; return the one that lies at `path` now."""
        _give_back(held)
        return self._let_move(key, path) if _is_another(held) else held

    def _let_move(self, key: Key, path: Path) -> _Held | None:
        """Look after the file that lies at `path` now, and go on with the one that was moved away."""
        moved = self._moved.setdefault(key, [])
        moved.append(self._held.pop(key))
        if len(moved) > MOVED_KEPT:
            os.close(moved.pop(0).descriptor)
        return self._open(key, path)

    def close(self) -> None:
        """Let go of all files."""
        for held in (*self._held.values(), *(each for moved in self._moved.values() for each in moved)):
            os.close(held.descriptor)
        self._held.clear()
        self._moved.clear()

    def _open(self, key: Key, path: Path) -> _Held | None:
        """Hold the log that a new worker opened. Held open, so a log that somebody moved away stays bounded too."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None  # not made yet
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        self._held[key] = held = _Held(path, descriptor, float("-inf"))
        return held

    def _bound(self, held: _Held, now: float) -> bool:
        size = os.lseek(held.descriptor, 0, os.SEEK_END)  # a third of what a stat costs, ten times a second per bot
        held.grew, held.size_bytes = size != held.size_bytes, size
        if size <= self._part_bytes:
            return False
        try:
            if now - held.rotated_at >= ROTATE_EVERY_S:
                held.rotated_at = now
                self._rotate(held, size)
            else:
                held.dropped_bytes += size
            os.ftruncate(held.descriptor, 0)
            held.size_bytes = -1
            if held.dropped_bytes:
                os.write(held.descriptor, _dropped(held.dropped_bytes))
        except OSError as fault:
            log.warning("botlog.not_cut", path=str(held.path), error=str(fault))
        return True

    def _rotate(self, held: _Held, size: int) -> None:
        """Copy the end of the log, as much as a part may have, to a new newest old part."""
        fresh = held.path.with_name(held.path.name + ".new")
        skipped = 0 if size <= self._whole_bytes else size - self._part_bytes
        held.dropped_bytes += skipped
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                if held.dropped_bytes:
                    os.write(descriptor, _dropped(held.dropped_bytes))
                end = _copy(held.descriptor, skipped, descriptor, self._whole_bytes)
            finally:
                os.close(descriptor)
            for number in range(OLD_FILES, 1, -1):
                if old_file(held.path, number - 1).exists():
                    old_file(held.path, number - 1).replace(old_file(held.path, number))
            fresh.replace(old_file(held.path, 1))
        except OSError as fault:
            log.warning("botlog.part_lost", path=str(held.path), bytes=size, error=str(fault))
            held.dropped_bytes += size - skipped
            fresh.unlink(missing_ok=True)
        else:
            held.dropped_bytes = max(0, os.lseek(held.descriptor, 0, os.SEEK_END) - end)


def _give_back(held: _Held) -> None:
    """Free what a bot has reserved of the disk behind the end of its log: a log's size does not show that."""
    found = os.fstat(held.descriptor)
    if found.st_blocks * BLOCK_BYTES <= found.st_size + RESERVED_BYTES:
        return
    try:
        os.ftruncate(held.descriptor, found.st_size)
    except OSError as fault:
        log.warning("botlog.not_given_back", path=str(held.path), error=str(fault))


def _is_another(held: _Held) -> bool:
    """Return whether another file than the one that is held lies at its path. One that is not there is none."""
    try:
        there = held.path.stat()
    except OSError:
        return False
    return not os.path.samestat(there, os.fstat(held.descriptor))


def _copy(source: int, start: int, target: int, limit: int) -> int:
    """Copy from byte `start` up to the end, also of what is written meanwhile; return how far that was.

    At most `limit` bytes are copied.
    """
    offset = start
    while chunk := os.pread(source, min(CHUNK_BYTES, limit - (offset - start)), offset):
        offset += len(chunk)
        while chunk:
            chunk = chunk[os.write(target, chunk) :]
    return offset


def _dropped(count: int) -> bytes:
    return (
        f"{stamp(time.time())} WARNING flotilla: {count} bytes of this log were dropped; "
        "the bot writes more than can be kept (FLOTILLA_BOT_LOG_MB)\n"
    ).encode()
