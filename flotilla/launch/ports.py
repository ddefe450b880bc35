"""The sandbox's port: any free one of the loopback, and the same one again if it can be had."""

import contextlib
import socket
from pathlib import Path

from flotilla.settings import Settings

LOOPBACK = "127.0.0.1"
PORT_MAX = 65_535


def sandbox_port(settings: Settings) -> int:
    """Return a free loopback port: the one remembered from the last start if it is free, else another, remembered."""
    last = remembered_port(settings)
    if last is not None:
        with contextlib.suppress(OSError):
            return _free_port(last)
    port = _free_port(0)
    _memory(settings).write_text(f"{port}\n")
    return port


def remembered_port(settings: Settings) -> int | None:
    """Return the port that this home's sandbox had when it was last started; None if no demo has run here."""
    try:
        port = int(_memory(settings).read_text("ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port <= PORT_MAX else None


def _memory(settings: Settings) -> Path:
    return settings.run_dir / "sandbox.port"


def _free_port(wanted: int) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, wanted))
        listener.listen(1)
        return int(listener.getsockname()[1])
