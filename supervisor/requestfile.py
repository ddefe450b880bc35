"""Keeps this host's invalid requests in a small file, since Discord does not forget them when a supervisor ends.

Living workers tell theirs anew; the file is for those that are gone. One that is lost or damaged costs only what dead
workers had counted.
"""

import math
from pathlib import Path

import msgspec
import structlog

from flotilla.domain.requests import Budget, Saved

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names one run of the kernel, and so of CLOCK_MONOTONIC. Source: proc(5)."""

_log = structlog.get_logger()


class _File(msgspec.Struct, frozen=True):
    boot_id: str
    monotonic_s: float
    wall_s: float
    saved: Saved


def write(path: Path, saved: Saved, now: float, wall: float) -> None:
    """Replace the file. now: monotonic second; wall: Unix second. A fault of the disk is logged: the fleet goes on."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_bytes(msgspec.json.encode(_File(_boot_id(), now, wall, saved)))
        fresh.chmod(0o600)
        fresh.replace(path)
    except OSError as fault:
        _log.warning("requests.not_saved", path=str(path), error=str(fault))


def read(path: Path, budget: Budget, now: float, wall: float) -> bool:
    """Give a new budget what the file holds; return whether there was something.

    Within one run of the kernel a clock that was set changes nothing. After another boot the wall clock tells the
    file's age; a file of the future counts as just written.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
        _log.warning("requests.file_unreadable", path=str(path), error=str(fault))
        return False
    same_boot = file.boot_id == _boot_id() and file.boot_id != "" and file.monotonic_s <= now
    shift_s = 0.0 if same_boot else now - max(0.0, wall - file.wall_s) - file.monotonic_s
    if not math.isfinite(shift_s):
        _log.warning("requests.file_unreadable", path=str(path), error="its times are none")
        return False
    budget.restore(file.saved, shift_s, now)
    return True


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
