"""Who this installation is: an id that is kept in its home, and where that home is."""

import os
import socket
from pathlib import Path

from flotilla.domain.claims import Claimant
from flotilla.errors import SetupError
from flotilla.ids import new_id
from flotilla.settings import Settings

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names one run of the kernel. Source: proc(5)."""


def claimant(settings: Settings) -> Claimant:
    """Return who this home is; the first time it gets its id. Raises SetupError (`home_not_writable`)."""
    path = settings.home / "installation"
    try:
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_text(f"{new_id()}\n")
            partial.chmod(0o600)
            partial.replace(path)
        found = path.read_text().strip()
        number = path.stat().st_ino
    except OSError as fault:
        raise SetupError(
            f"Cannot keep this installation's id in {path} ({fault.strerror}). Mend its permissions and free space.",
            code="home_not_writable",
        ) from fault
    # Copied, a file has another number; moved within its disk, it keeps it.
    return Claimant(found[:26], boot_id(), str(number), str(settings.home), socket.gethostname(), os.getpid())


def boot_id() -> str:
    """Return the id of this run of the kernel, or an empty string where it is not shown."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
