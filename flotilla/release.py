"""Which release a program runs, and which one lies on the disk: `0.1.0+` and a digest of the code."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from flotilla import __version__
from flotilla.home import ProgramLock
from flotilla.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "flotilla", "jobs", "migrations", "sandbox", "supervisor", "worker_bot")
BESIDE = ("uv.lock", "supervisord.conf")
"""What decides with the code how programs run: their libraries, and how they are started. Absent in a wheel."""

DIGEST_CHARS = 12


def release_on_disk(root: Path = ROOT) -> str:
    """Return the release that a program started now would run. Reads all code: takes about 20 ms.

    The same code is the same release, wherever and whenever it was installed.
    """
    digest = hashlib.sha256()
    modules = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    for path in (*modules, *(root / name for name in BESIDE)):
        with contextlib.suppress(FileNotFoundError):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{__version__}+{digest.hexdigest()[:DIGEST_CHARS]}"


def record_release(settings: Settings, program: str) -> None:
    """Say which release this process runs; call it soon after the program holds its ProgramLock.

    Where nothing can be written, nobody learns of it, and the program runs on.
    """
    path = _record(settings, program)
    partial = path.with_suffix(f".release-{os.getpid()}")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps({"pid": os.getpid(), "release": release_on_disk()}))
        partial.replace(path)


def running_release(settings: Settings, program: str) -> str | None:
    """Return the release of the live process that holds a program's lock.

    None: it does not run, has not said it yet, or is of a release that said nothing (before this one).
    """
    pid = ProgramLock(settings, program).holder()
    if pid is None:
        return None
    try:
        told = json.loads(_record(settings, program).read_bytes())
        return str(told["release"]) if told["pid"] == pid else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(settings: Settings, program: str) -> Path:
    return settings.run_dir / f"{program}.release"
