"""Who may make control calls: programs of this machine that hold the sandbox's key. No web page can, in any browser.

A page is told apart by what its browser says of it (Host, Origin, the type of a body), and has no key.
"""

import hmac
import ipaddress
import os
import re
import stat
from pathlib import Path

from aiohttp import web

ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::[0-9]{1,5})?")
_SCHEME = "Bearer "
_PRIVATE = 0o600


class ControlError(Exception):
    """A control call that cannot be done; the message says what would be right."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Door:
    """Lets control calls in. host: what `--host` says; where_key_is: for those who come without one."""

    def __init__(self, host: str, key: str, where_key_is: str) -> None:
        self._own_name = None if host in ANYWHERE else host.lower()
        self._key = key.encode()
        self._where_key_is = where_key_is

    def check(self, request: web.Request) -> None:
        """Raise ControlError (403, 401, 415) for a call that may not be made."""
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        check_here(request.remote, None if local is None else local[0])
        host = self._checked_host(request.headers.getall("Host", []))
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{host}".lower():
            raise ControlError(403, "foreign_origin", "Control calls are not for web pages of other places.")
        self._check_key(request.headers.get("Authorization", ""))
        if request.body_exists and request.content_type != "application/json":
            message = "Send the body as JSON, with the header Content-Type: application/json (curl: --json '{…}')."
            raise ControlError(415, "not_json", message)

    def _checked_host(self, given: list[str]) -> str:
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        name = "" if match is None else match["name"].strip("[]").lower()
        if not (name and (is_loopback(name) or name == self._own_name)):
            right = "127.0.0.1" if self._own_name is None or is_loopback(self._own_name) else self._own_name
            message = f"Control calls go to {right}, by that address and no other name."
            raise ControlError(403, "foreign_host", message)
        return given[0]

    def _check_key(self, given: str) -> None:
        key = given[len(_SCHEME) :].strip().encode("utf-8", "surrogateescape")
        if not given.startswith(_SCHEME) or not hmac.compare_digest(key, self._key):
            message = f"Control calls need the header Authorization: Bearer KEY. {self._where_key_is}"
            raise ControlError(401, "wrong_key", message)


def key_file_of(secret_file: Path) -> Path:
    """Return where the key lies: beside the secret that it follows from."""
    return secret_file.parent / f"{secret_file.stem}.key"


def write_key(path: Path, key: str) -> None:
    """Have `path` hold the key, for its owner alone. Raises OSError."""
    if _holds(path, key):
        return
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    partial.replace(path)


def _holds(path: Path, key: str) -> bool:
    try:
        return path.read_text("ascii").strip() == key and stat.S_IMODE(path.lstat().st_mode) == _PRIVATE
    except (OSError, UnicodeDecodeError):
        return False


def check_here(remote: str | None, local: str | None) -> None:
    """Raise ControlError 403 unless a connection from address `remote` to `local` comes from this machine."""
    if remote is None or not (is_loopback(remote) or remote == local):
        raise ControlError(403, "loopback_only", "The control API answers this machine only.")


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address is this machine's by its nature."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
