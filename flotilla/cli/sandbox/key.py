"""The key that opens a sandbox's control calls: the one that is set, else that of this home's demo."""

from collections.abc import Generator
from http import HTTPStatus
from typing import NamedTuple

import httpx

from flotilla.launch.admin_key import read_key
from flotilla.launch.layout import sandbox_key_file
from flotilla.settings import Settings


class SandboxKey(NamedTuple):
    """A key, and where it comes from, in words."""

    key: str | None
    place: str


def find_sandbox_key(settings: Settings) -> SandboxKey:
    """Return FLOTILLA_SANDBOX_KEY, else the key in this home; none if there is neither."""
    if settings.sandbox_key is not None:
        return SandboxKey(settings.sandbox_key.get_secret_value(), "FLOTILLA_SANDBOX_KEY")
    path = sandbox_key_file(settings)
    return SandboxKey(read_key(path), str(path))


class WithSandboxKey(httpx.Auth):
    """Sends the key. A sandbox makes its key as it starts, so one that is refused is looked up anew, once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.last = find_sandbox_key(settings)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request, and once more if there is another key by then."""
        tried = self._put_into(request)
        answer = yield request
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self.last = find_sandbox_key(self._settings)
            if self.last.key != tried:
                self._put_into(request)
                yield request

    def _put_into(self, request: httpx.Request) -> str | None:
        if self.last.key is not None:
            request.headers["authorization"] = f"Bearer {self.last.key}"
        return self.last.key
