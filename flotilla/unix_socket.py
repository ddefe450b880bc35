"""A Unix socket that is its owner's alone, whatever the length of its path, and who listens on it."""

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from flotilla.errors import SetupError
from flotilla.peer import credentials


class StrangersSocketError(SetupError):
    """Somebody listens there whom this user has no reason to trust."""

    code = "socket_of_a_stranger"


@contextmanager
def within_limit(path: Path) -> Iterator[str]:
    """Yield a path to the same place that fits into a socket's address. Raises OSError if its folder is not there.

    unix(7) leaves 107 bytes for it; here the folder is a descriptor, and what counts is the name in it.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_privately(path: Path, backlog: int) -> socket.socket:
    """Return a socket that listens at `path`, mode 0600, in the place of whatever lay there. Raises OSError.

    At no moment is nobody there: it listens before it gets its name.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    partial = path.with_name(path.name + ".new")
    try:
        partial.unlink(missing_ok=True)
        os.fchmod(listener.fileno(), 0o600)  # what bind makes has the mode of its descriptor
        with within_limit(partial) as name:
            listener.bind(name)
        listener.listen(backlog)
        partial.replace(path)
    except BaseException:
        listener.close()
        raise
    return listener


def place_of(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at a path from one that is put there later; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path, trusted: Collection[int], timeout_s: float | None) -> socket.socket:
    """Return a connection to who listens at `path`, a user of `trusted`. Sends nothing.

    Raises OSError if nobody listens; StrangersSocketError if it is somebody else, whoever owns the file: the kernel
    says who called listen.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with within_limit(path) as name:
            connection.connect(name)
        _require(trusted, connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _require(trusted: Collection[int], connection: socket.socket, path: Path) -> None:
    pid, uid = credentials(connection)
    if uid not in trusted:
        raise StrangersSocketError(
            f"A stranger listens at {path}: process {pid} of user {uid}. Nothing was sent to it. End that process, "
            "and see who may write to that folder."
        )


def trusted_users(home: Path) -> frozenset[int]:
    """Return whom this user trusts to be the fleet of `home`: itself and root. Root trusts the owner of the home, too.

    What root would send there it has from that owner's files.
    """
    me = os.geteuid()
    if me != 0:
        return frozenset({0, me})
    try:
        return frozenset({0, home.stat().st_uid})
    except OSError:
        return frozenset({0})
