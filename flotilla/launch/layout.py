"""Where things lie: in this checkout, and in an installation's home."""

import enum
from pathlib import Path

from flotilla.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SUPERVISORD = ROOT / ".venv-supervisord" / "bin" / "supervisord"
SUPERVISORD_PYTHON = SUPERVISORD.with_name("python")
FOREGROUND = Path(__file__).with_name("foreground.py")
SUPERVISORD_CONF = ROOT / "supervisord.conf"
PROGRAMS = ("supervisor", "api", "jobs")
"""Programs that hold a ProgramLock while they run."""
LAUNCHER = "launcher"
"""Whose ProgramLock supervisord holds, from `flotilla up` until everything has ended."""


class Mode(enum.StrEnum):
    """Which Discord an installation's bots meet. One home never changes it."""

    DEMO = "demo"
    REAL = "real"


def supervisord_socket(settings: Settings) -> Path:
    """Where supervisord takes orders."""
    return settings.run_dir / "supervisord.sock"


def admin_key_file(settings: Settings, mode: Mode) -> Path:
    """Where the admin key made by `flotilla up` lies."""
    return settings.home / ("demo.key" if mode is Mode.DEMO else "admin.key")


def sandbox_key_file(settings: Settings) -> Path:
    """Where a demo's sandbox leaves the key of its control calls."""
    return settings.home / "sandbox.key"


def program_log(settings: Settings, program: str) -> Path:
    """Where supervisord writes what a program says."""
    return settings.log_dir / f"{program}.log"
