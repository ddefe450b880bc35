"""cgroup v2: finding a folder that is ours to divide, and one child of it per worker (kernel docs, cgroup-v2.rst).

Only folders are touched that were handed over for this: a cgroup that systemd delegated (it says so in an extended
attribute), or the top of a cgroup namespace, as a container sees it.
"""

import contextlib
import os
from pathlib import Path

import structlog

DELEGATED = "user.delegate"
"""Set to 1 by systemd on a delegated cgroup. Source: systemd.resource-control(5), Delegate=."""

PREFIX = "bot-"
OWN_PROC = Path("/proc/self")
log = structlog.get_logger()


class Cgroups:
    """The children of one delegated cgroup, `root`, that hold a worker each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._left: set[Path] = set()

    def folder(self, bot_id: str, generation: int) -> Path:
        """Return the cgroup of one worker. Each generation has its own: two of a bot may live side by side."""
        return self.root / f"{PREFIX}{bot_id}.{generation}"

    def make(self, bot_id: str, generation: int, max_bytes: int) -> Path:
        """Make a worker's cgroup, which it joins itself. Raises OSError."""
        folder = self.folder(bot_id, generation)
        folder.mkdir(exist_ok=True)
        write(folder / "memory.max", max_bytes)
        # All of a bot's processes end together, and the supervisor sees the worker's end.
        write(folder / "memory.oom.group", 1)
        return folder

    def resize(self, bot_id: str, generation: int, max_bytes: int) -> None:
        """Change what a live worker may take. Raises OSError when it has no cgroup."""
        write(self.folder(bot_id, generation) / "memory.max", max_bytes)

    def oom_kills(self, bot_id: str, generation: int) -> int:
        """Return how many processes of a worker the kernel has killed for want of memory; 0 if it cannot be read."""
        try:
            text = (self.folder(bot_id, generation) / "memory.events").read_text()
            return int(dict(line.split() for line in text.splitlines()).get("oom_kill", 0))
        except (OSError, ValueError):
            return 0

    def kill(self, bot_id: str, generation: int) -> None:
        """Kill all that is in the cgroup of a worker, at once (cgroup.kill, since Linux 5.14)."""
        with contextlib.suppress(OSError):
            write(self.folder(bot_id, generation) / "cgroup.kill", 1)

    def remove(self, bot_id: str, generation: int) -> None:
        """Remove the cgroup of a worker that has ended, and those before it in which somebody still lived then."""
        self._left.add(self.folder(bot_id, generation))
        for folder in list(self._left):
            try:
                folder.rmdir()  # refused while a process is in it
            except FileNotFoundError:
                self._left.discard(folder)
            except OSError:
                continue
            else:
                self._left.discard(folder)

    def sweep(self) -> None:
        """Remove every cgroup in which nobody lives any more: left by a supervisor that did not see the end."""
        for folder in self.root.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def write(file: Path, value: int | str) -> None:
    """Write a value to one of the kernel's files. Raises OSError; FileNotFoundError if the kernel has no such file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def pids_in(cgroup: Path) -> set[int]:
    """Return the pids of all that is in a cgroup or below it, none if it is gone."""
    pids: set[int] = set()
    for folder, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError, ValueError):
            pids.update(map(int, Path(folder, "cgroup.procs").read_bytes().split()))
    return pids


def find(proc: Path) -> Path | None:
    """Return the cgroup whose children may hold workers, memory accounted, or None if none is delegated.

    This program must live in a child of it: a cgroup that has processes of its own cannot be divided.
    proc: the folder in /proc of the program that asks.
    """
    try:
        own = _own(proc)
        if own is None or own[1] == "/":
            return None
        mount, path = own
        root = Path(f"{mount}{path}").parent
        if not (path.count("/") == 1 or _is_delegated(root)):
            return None
        return root if _divide(root) else None
    except (OSError, ValueError) as fault:
        log.info("cgroup.not_delegated", why=str(fault))
        return None


def _own(proc: Path) -> tuple[str, str] | None:
    """Return where cgroup v2 is mounted and the path of our own cgroup in it."""
    mountinfo, cgroup = (os.fsdecode((proc / name).read_bytes()) for name in ("mountinfo", "cgroup"))  # names are bytes
    mounts = [line.split() for line in mountinfo.splitlines()]
    # Source: proc(5), mountinfo: field 5 is the mount point, the type follows the separator.
    points = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    paths = [line[3:] for line in cgroup.splitlines() if line.startswith("0::")]
    return (points[0], paths[0]) if points and paths else None


def _is_delegated(root: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.getxattr(root, DELEGATED) == b"1"
    return False


def _divide(root: Path) -> bool:
    """Return whether children of `root` have their memory accounted; switch it on if it is not and may be."""
    if "memory" in (root / "cgroup.subtree_control").read_text().split():
        return os.access(root, os.W_OK)
    if "memory" not in (root / "cgroup.controllers").read_text().split():
        return False
    write(root / "cgroup.subtree_control", "+memory")
    return True
