"""Removes folders that bots have filled: however deep, however many files, whatever their modes."""

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path, owners: Collection[int] | None = None) -> None:
    """Remove a folder with all that is in it; do nothing if it is not there. Blocks: 100,000 files take a second or so.

    owners: it is left alone unless it is one of theirs. No link is followed. Takes neither recursion nor long paths nor
    a list of the files: folders in it are moved up into it, so nothing is ever deeper than two. Raises OSError when
    something stays, after all else is gone.
    """
    try:
        top = _open(str(folder), None)
    except FileNotFoundError:
        return
    try:
        if owners is not None and os.fstat(top).st_uid not in owners:
            return
        _empty(top)
    finally:
        os.close(top)
    folder.rmdir()


def _empty(top: int) -> None:
    names = (f"{prefix}{number}" for prefix in [f".removed-{secrets.token_hex(8)}-"] for number in itertools.count())
    progress, stays = True, None
    while progress:
        progress, stays = False, None
        with os.scandir(top) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        _flatten(top, entry.name, names)
                    else:
                        os.unlink(entry.name, dir_fd=top)
                except OSError as fault:
                    stays = fault
                else:
                    progress = True
    if stays is not None:
        raise stays


def _flatten(top: int, name: str, names: Iterator[str]) -> None:
    """Remove a folder of `top`, after what is in it was removed or, if it is a folder, moved into `top`."""
    folder = _open(name, top)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)
                    continue
                with contextlib.suppress(PermissionError):  # the move says it again
                    os.close(_open(entry.name, folder))
                os.rename(entry.name, next(names), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _open(name: str, within: int | None) -> int:
    """Open a folder, whatever its mode is, if it is ours. Raises OSError."""
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=within)
    except PermissionError:
        place = os.open(name, _FLAGS | os.O_PATH, dir_fd=within)
        try:
            os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)  # noqa: PTH101 - by its descriptor
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(place)
    if not os.fstat(descriptor).st_mode & stat.S_IWUSR:
        os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor
