"""What this host, this user and the settings allow: which `Confinement` every bot runs in."""

import os
import stat
import sys
import zlib
from pathlib import Path

from flotilla import landlock
from flotilla.domain.confinement import NEWEST_ABI, Confinement
from flotilla.errors import SetupError
from flotilla.settings import Settings

RANGE = 60_000
"""User ids above the base that are used. One that was a bot's is used again when all others have been."""

HIGH_BASE = 1_880_000_000
HIGH_RANGES = 4_000
"""Ranges that no system gives away (systemd's UIDS-GIDS.md: 1879048192 to 2147483647 are unused): one for each home
of a host, by its path."""

LOW_BASE = 4_000
"""In a user namespace that maps 65,536 ids, as most containers' do: above accounts, below 65534."""

_CHOWN, _DAC_OVERRIDE, _KILL, _SETGID, _SETUID = 0, 1, 5, 6, 7
_NEEDED = {_CHOWN: "CHOWN", _DAC_OVERRIDE: "DAC_OVERRIDE", _KILL: "KILL", _SETGID: "SETGID", _SETUID: "SETUID"}
"""Numbers of capabilities. Source: linux/capability.h."""


def find(settings: Settings, proc: Path = Path("/proc/self")) -> Confinement:
    """Return what bots that are started now are held by. proc: this process's folder in /proc.

    Raises SetupError (`uids_need_root`, `uids_impossible`) when users of their own are asked for and cannot be.
    """
    no_users = _why_no_users(settings, proc)
    if no_users and settings.bot_users == "own":
        raise SetupError(
            f"FLOTILLA_BOT_USERS is own, but bots cannot have users of their own here: {no_users}. "
            "Run Flotilla as root with these rights, or say FLOTILLA_BOT_USERS=shared.",
            code="uids_impossible",
        )
    version, no_landlock = _landlock(settings)
    closed = "" if no_users else _closed_code(settings)
    return Confinement(not no_users, version, no_users, no_landlock, closed)


def uid_base(settings: Settings, proc: Path = Path("/proc/self")) -> int:
    """Return the user id above which bots' own begin: the setting's, else one that this user namespace has."""
    found = settings.bot_uid_base or _mapped_base(proc) or HIGH_BASE
    if found == HIGH_BASE and settings.bot_uid_base is None:
        found += zlib.crc32(bytes(settings.home.resolve())) % HIGH_RANGES * (RANGE + 1)
    return found


def closed_to_others(folder: Path) -> Path | None:
    """Return the first folder on the way to `folder` that other users may not enter, or itself if they may not read it.

    None: they can read it.
    """
    for place in reversed((folder, *folder.parents)):
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH or (place == folder and not mode & stat.S_IROTH):
            return place
    return None


def _why_no_users(settings: Settings, proc: Path) -> str:
    if settings.bot_users == "shared":
        return "FLOTILLA_BOT_USERS is shared"
    if os.geteuid() != 0:
        if settings.bot_uid_base is not None:
            raise SetupError(
                "FLOTILLA_BOT_UID_BASE needs root, to make workers other users. Run Flotilla as root, or unset it.",
                code="uids_need_root",
            )
        return "they need root"
    rights = _capabilities(proc)
    missing = [name for number, name in _NEEDED.items() if not rights >> number & 1]
    if missing:
        return f"this root lacks the capabilities {', '.join(missing)}"
    if settings.bot_uid_base is None and _mapped_base(proc) is None:
        return "this user namespace has too few user ids"
    return ""


def _landlock(settings: Settings) -> tuple[int, str]:
    if settings.bot_landlock == "off":
        return 0, "FLOTILLA_BOT_LANDLOCK is off"
    try:
        return min(landlock.abi(), NEWEST_ABI), ""
    except OSError as fault:
        return 0, landlock.why_not(fault)


def _closed_code(settings: Settings) -> str:
    """Return what of the way to Python and to the bots' code is closed to other users, the first only."""
    folders = [Path(sys.prefix), Path(os.__file__).parent, Path(sys.executable).resolve().parent]
    folders.append(Path(__file__).resolve().parents[1])
    if settings.extensions_path is not None and settings.extensions_path.is_dir():
        folders.append(settings.extensions_path.resolve())
    return next((str(closed) for folder in folders if (closed := closed_to_others(folder)) is not None), "")


def _capabilities(proc: Path) -> int:
    for line in (proc / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _mapped_base(proc: Path) -> int | None:
    """Return a base whose whole range this user namespace has (user_namespaces(7), uid_map)."""
    maps = [tuple(map(int, line.split())) for line in (proc / "uid_map").read_text().splitlines()]
    for base, last in ((HIGH_BASE, HIGH_BASE + HIGH_RANGES * (RANGE + 1)), (LOW_BASE, LOW_BASE + RANGE)):
        if any(first <= base and last < first + count for first, _outside, count in maps):
            return base
    return None
