"""Ids and tokens derived from one secret, so that a restarted sandbox knows the tokens it gave out before.

A token is `base64url(id).base64url(6 bytes).base64url(27 bytes)`, the shape of Discord's own. The six bytes carry the
reset serial, masked; the 27 are an HMAC over (id, serial).
"""

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import NamedTuple

from sandbox import snowflakes

_SECRET_BYTES = 32
_SERIAL_BYTES = 6
_SIGNATURE_BYTES = 27


class Claim(NamedTuple):
    """What a token whose signature holds says about itself."""

    application_id: str
    serial: int


def load_secret(path: Path) -> bytes:
    """Return the secret in `path`, creating the file with mode 600 if it is missing.

    Raises OSError if the file can be neither read nor created, ValueError if it holds fewer than 16 bytes.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes().strip()
        if len(secret) < _SECRET_BYTES // 2:
            raise ValueError(
                f"{path} holds fewer than {_SECRET_BYTES // 2} bytes; delete it to have a new one made"
            ) from None
        return secret
    with os.fdopen(descriptor, "wb") as file:
        secret = os.urandom(_SECRET_BYTES).hex().encode()
        file.write(secret + b"\n")
    return secret


class Mint:
    """Derives ids and tokens from a secret, and verifies tokens. Keeps no state."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._secret, "\0".join(parts).encode(), hashlib.sha256)

    def derive_id(self, *parts: str) -> str:
        """Return the id that `parts` (a kind, then what it is derived from) always give under this secret."""
        return str(snowflakes.derived(self._digest("id", *parts)))

    def derive_hex(self, *parts: str) -> str:
        """Return 64 hexadecimal digits that `parts` always give under this secret."""
        return self._digest("hex", *parts).hex()

    def control_key(self) -> str:
        """Return the key of control calls."""
        return self.derive_hex("control")

    def _masked(self, application_id: str, serial: bytes) -> bytes:
        mask = self._digest("mask", application_id)
        return bytes(a ^ b for a, b in zip(serial, mask, strict=False))

    def issue(self, application_id: str, serial: int) -> str:
        """Return the token of an application after `serial` resets."""
        masked = self._masked(application_id, serial.to_bytes(_SERIAL_BYTES, "big"))
        signature = self._digest("token", application_id, str(serial))[:_SIGNATURE_BYTES]
        return ".".join(map(_encode, (application_id.encode(), masked, signature)))

    def verify(self, token: str) -> Claim | None:
        """Return what a token claims, or None when it is malformed or its signature does not hold."""
        try:
            raw_id, masked, signature = map(_decode, token.split("."))
            application_id = raw_id.decode("ascii")
        except (ValueError, binascii.Error):
            return None
        if not application_id.isdigit() or len(masked) != _SERIAL_BYTES:
            return None
        serial = int.from_bytes(self._masked(application_id, masked), "big")
        expected = self._digest("token", application_id, str(serial))[:_SIGNATURE_BYTES]
        return Claim(application_id, serial) if hmac.compare_digest(signature, expected) else None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
