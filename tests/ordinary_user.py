"""Programs as an ordinary user, for tests that run as root: a user of no account, to whom Python and the code are open.

Where these lie in a folder that is root's alone, the programs see an open one in its place, in a mount namespace of
their own.
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flotilla.confinement import closed_to_others

FIRST_UID = 61_200
"""Above the accounts and below what systems give away. Source: systemd's UIDS-GIDS.md."""

STRANGER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setgid(65534)
os.setuid(65534)
listener.listen()
print("listening", flush=True)
accepted, _ = listener.accept()
print("got", accepted.recv(1000), flush=True)
"""
"""Code of a process that listens as nobody at a path that root made: its first argument. It prints what it is sent."""

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_ROOT = Path(__file__).parents[1]
_libc = ctypes.CDLL(None, use_errno=True)


def free_uid() -> int:
    """Return a user id that no account has, another one for each test process."""
    return next(uid for uid in range(FIRST_UID + os.getpid() % 200, FIRST_UID + 300) if not _is_account(uid))


def become(uid: int) -> Callable[[], None]:
    """Return what makes a child of root this user, before it executes anything; to 0, the code is open all the same."""
    needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), _ROOT]
    hidden = [(closed, folder) for folder in needed if (closed := closed_to_others(folder)) is not None]

    def change() -> None:
        if hidden:
            _checked(_libc.unshare(_CLONE_NEWNS))
            _checked(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
            held = [(closed, folder, os.open(folder, os.O_PATH)) for closed, folder in hidden]
            for closed in {closed for closed, _ in hidden}:
                _checked(_libc.mount(b"none", bytes(closed), b"tmpfs", 0, b"mode=755"))
            for _closed, folder, descriptor in held:
                folder.mkdir(parents=True, exist_ok=True)
                source = f"/proc/self/fd/{descriptor}".encode()
                _checked(_libc.mount(source, bytes(folder), None, _MS_BIND | _MS_REC, None))
                os.close(descriptor)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    return change


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Yield a folder that every user may enter, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="flt-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give(folder: Path, uid: int) -> None:
    """Make a folder with all that is in it this user's."""
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, uid, uid, follow_symlinks=False)


def _is_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
