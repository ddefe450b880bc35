"""Bot tokens at rest: Fernet, with a key file that only its owner can read.

The file holds one key a line, the newest first. The first encrypts; all of them decrypt, so that a rotation can be
interrupted and continued.
"""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from flotilla.errors import SetupError


class TokenVault:
    """Encrypts and decrypts bot tokens with the keys of one file, and follows the file when it is rotated."""

    def __init__(self, key_file: Path) -> None:
        self._path = key_file
        self._stamp = (0, 0, 0)
        self._fernet = self._load()

    def encrypt(self, token: str) -> bytes:
        """Return `token` encrypted with the newest key."""
        self._refresh()
        return self._fernet.encrypt(token.encode())

    def decrypt(self, encrypted: bytes) -> str:
        """Return the token. Raises SetupError (`token_unreadable`) if none of the keys made it."""
        self._refresh()
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken as fault:
            raise SetupError(
                f"A stored token was encrypted with a key that is not in {self._path.name}. "
                "Put the old key back as a line of that file, or give the bot its token anew: flotilla bots token NAME",
                code="token_unreadable",
            ) from fault

    def reencrypt(self, encrypted: bytes) -> bytes:
        """Return the same token encrypted with the newest key. Raises SetupError like `decrypt`."""
        return self.encrypt(self.decrypt(encrypted))

    def _refresh(self) -> None:
        if self._current_stamp() != self._stamp:
            self._fernet = self._load()

    def _current_stamp(self) -> tuple[int, int, int]:
        # Two rotations within one tick of the clock give the same time, but not the same file.
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _load(self) -> MultiFernet:
        self._stamp = self._current_stamp()
        if self._path.stat().st_mode & 0o077:
            raise SetupError(
                f"The key file {self._path} can be read by others. Run: chmod 600 {self._path}",
                code="key_file_exposed",
            )
        try:
            return MultiFernet([Fernet(line) for line in self._path.read_text("ascii").split()])
        except ValueError as fault:
            raise SetupError(
                f"The key file {self._path} is damaged: one Fernet key a line. Restore it from a backup; "
                "without it no stored token can be read.",
                code="key_file_damaged",
            ) from fault


def ensure_key_file(path: Path) -> None:
    """Make the key file with a first key and mode 600, unless it is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")


def add_key(path: Path) -> None:
    """Put a new key first. Tokens encrypted with the others stay readable."""
    _replace(path, Fernet.generate_key() + b"\n" + path.read_bytes())


def keep_newest_key(path: Path) -> None:
    """Drop all keys but the first. Tokens that were not re-encrypted before are lost with the others."""
    _replace(path, path.read_bytes().split(b"\n", 1)[0] + b"\n")


def _replace(path: Path, content: bytes) -> None:
    """Write a private file so that a crash leaves the old one or the new one, whole."""
    partial = path.with_name(path.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
