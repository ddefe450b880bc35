"""Opens the files beside a bot's session: the bot's own code may have put anything there.

A FIFO would hold up whoever opens it, for ever, and so would keep a bot whose code makes one from any other config.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

_IN_THE_WAY = {errno.ELOOP, errno.ENXIO, errno.ENODEV}
"""A link; a FIFO that nobody reads, or a socket; a device that is none."""


def open_regular(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file. What is none and no folder is removed from there. Never waits.

    flags: as of open(2). Raises OSError; FileNotFoundError also for what was none, unless `flags` make a file.
    """
    safely = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for _ in range(2):
        try:
            descriptor = os.open(path, safely, 0o600)
        except OSError as fault:
            if fault.errno not in _IN_THE_WAY:
                raise
        else:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            os.close(descriptor)
            if is_folder:
                raise IsADirectoryError(errno.EISDIR, "A folder is in its place", str(path))
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    raise FileNotFoundError(errno.ENOENT, "Something else is put in its place all the time", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """Return what a regular file holds. Raises OSError as `open_regular` does, and for one above `most` bytes."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"It is larger than {most} bytes", str(path))
        return file.read(size)  # Python makes room for as much as it is asked for, whatever the file has
