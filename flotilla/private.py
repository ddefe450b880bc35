"""The home and its keys are their owner's alone: what is ours and too open is closed, what is another's is refused."""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

import structlog

from flotilla.errors import SetupError
from flotilla.settings import Settings

PRIVATE_FILES = ("*.key", "flotilla.db*", "uids.json", "sandbox.*")
"""In the home. What is in its folders is behind their modes."""

OPEN_TO_OTHERS = 0o077
WRITABLE_BY_OTHERS = 0o022
PASSED_BY_BOTS = 0o710
"""So the supervisor leaves folders to the group of bots that have users of their own (supervisor/isolation.py)."""

log = structlog.get_logger()


def make_private(settings: Settings) -> None:
    """See to it that nobody but this user reaches the home's folders, keys and database.

    Raises OSError, SetupError (`home_shared`, `home_of_another`, `key_file_exposed`) with the command that mends it.
    """
    home = settings.home
    found = home.stat()
    _require_ours(home, found, settings)
    if found.st_mode & stat.S_ISVTX:
        raise SetupError(
            f"FLOTILLA_HOME is {home}, a folder for everybody's files. Choose one of its own: "
            f"FLOTILLA_HOME={home / 'flotilla'}",
            code="home_shared",
        )
    # A folder that holds other things as well, as a user's own, may be meant to be read by others.
    alone = settings.key_file.exists() or not any(home.iterdir())
    _close(home, found, OPEN_TO_OTHERS if alone else WRITABLE_BY_OTHERS)
    for folder in (settings.run_dir, settings.log_dir, settings.log_dir / "bots", settings.session_dir):
        if folder.is_dir():
            found = folder.stat()
            _require_ours(folder, found, settings)
            _close(folder, found, OPEN_TO_OTHERS)
    for file in _private_files(home):
        _close_file(file, settings)


def _private_files(home: Path) -> Iterable[Path]:
    return (path for pattern in PRIVATE_FILES for path in sorted(home.glob(pattern)) if path.is_file())


def _close_file(file: Path, settings: Settings) -> None:
    found = file.stat()
    if file.is_symlink():
        if found.st_mode & OPEN_TO_OTHERS:  # where it leads is not ours to change
            raise SetupError(f"Others can read {file}. Run: chmod 600 {file.resolve()}", code="key_file_exposed")
        return
    _require_ours(file, found, settings)
    if _close(file, found, OPEN_TO_OTHERS) and file == settings.key_file:
        log.warning(
            "home.key_was_exposed", path=str(file), remedy="If others may have read it: flotilla secrets rotate"
        )


def _close(path: Path, found: os.stat_result, forbidden: int) -> bool:
    """Return whether it had to be closed."""
    mode = stat.S_IMODE(found.st_mode)
    if not mode & forbidden or (stat.S_ISDIR(found.st_mode) and mode == PASSED_BY_BOTS):
        return False
    path.chmod(mode & ~forbidden)
    log.warning("home.closed", path=str(path), mode=f"{mode:o}", now=f"{mode & ~forbidden:o}")
    return True


def _require_ours(path: Path, found: os.stat_result, settings: Settings) -> None:
    me = os.geteuid()
    if found.st_uid == me:
        return
    raise SetupError(
        f"{path} belongs to {_name(found.st_uid)}, and Flotilla runs as {_name(me)}. Run it as {_name(found.st_uid)}, "
        f"or give the home to {_name(me)}, as root: chown -R {me} {settings.home}",
        code="home_of_another",
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
