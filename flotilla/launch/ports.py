"""The sandbox's port: any free one of the loopback, and the same one again if it can be had."""

import contextlib
import socket

from flotilla.settings import Settings

LOOPBACK = "127.0.0.1"


def sandbox_port(settings: Settings) -> int:
    """Return a free loopback port: the one remembered from the last start if it is free, else another, remembered."""
    memory = settings.run_dir / "sandbox.port"
    with contextlib.suppress(OSError, ValueError, OverflowError):
        return _free_port(int(memory.read_text("ascii")))
    port = _free_port(0)
    memory.write_text(f"{port}\n")
    return port


def _free_port(wanted: int) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, wanted))
        listener.listen(1)
        return int(listener.getsockname()[1])
