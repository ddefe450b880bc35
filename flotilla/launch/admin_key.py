"""The admin key that `flotilla up` makes, so that whoever owns the home can use the API at once."""

import os
from datetime import UTC, datetime
from pathlib import Path

from flotilla.db.engine import Database
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.errors import SetupError


async def ensure_admin_key(database: Database, path: Path) -> None:
    """Guarantee that `path` holds an admin key this database knows, readable by its owner only.

    A file whose key the database does not know, as after a restored or new database, gets a new key.
    Raises SetupError (`home_not_writable`).
    """
    keys = SqlApiKeys(database)
    held = read_key(path)
    found = await keys.find(held, datetime.now(UTC)) if held else None
    if held is None or found is None or found.role is not Role.ADMIN:
        held = await keys.create(f"{path.stem} (made by flotilla up)", Role.ADMIN)
    try:
        _write_private(path, held)
    except OSError as fault:
        raise SetupError(
            f"Cannot write the admin key to {path} ({fault.strerror}). Mend the folder's permissions and free space.",
            code="home_not_writable",
        ) from fault


def read_key(path: Path) -> str | None:
    """Return the key in a file, or None if there is none that can be read."""
    try:
        return path.read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _write_private(path: Path, key: str) -> None:
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
