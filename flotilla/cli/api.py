"""The API as the command line uses it: one method per call, every fault a sentence."""

import os
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import httpx

from flotilla.cli.connection import Connection, Fault, Json
from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.local_transport import LocalTransport
from flotilla.launch.admin_key import read_key
from flotilla.launch.layout import Mode, admin_key_file
from flotilla.settings import Settings

TIMEOUT_S = 10.0
PAGE = 200
LOCAL_URL = "http://localhost"
"""What stands in requests over the socket in the home."""


def find_key(settings: Settings) -> str:
    """Return FLOTILLA_API_KEY, else the admin key in this home. Raises CommandError (`no_api_key`)."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    files = [admin_key_file(settings, mode) for mode in (Mode.REAL, Mode.DEMO)]
    for path in files:
        key = read_key(path)
        if key is not None:
            return key
    for path in files:
        _explain_unreadable(path)
    raise CommandError(
        f"There is no API key: FLOTILLA_API_KEY is not set, and {settings.home} has no admin.key or demo.key. "
        "`flotilla up` makes one; or set FLOTILLA_HOME to the folder of the running fleet.",
        code="no_api_key",
    )


def _explain_unreadable(path: Path) -> None:
    if path.exists() and not os.access(path, os.R_OK):
        raise CommandError(
            f"You may not read {path}. Run this as its owner, or set FLOTILLA_API_KEY.", code="no_api_key"
        )


class Api(Connection):
    """A connection to the API. Each call raises ApiError or CommandError."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        timeout_s = timeout_s or TIMEOUT_S
        headers = {"accept": "application/json", "user-agent": "flotilla-cli"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        super().__init__(url, timeout_s, headers, transport)
        self.late = Fault(
            f"The API at {url} did not answer within {timeout_s:.0f} s. `flotilla doctor` says more.", "api_timeout"
        )
        self.unreachable = Fault(
            f"The API is not reachable at {url}. Start the fleet with `flotilla up`, or say where it is "
            "with FLOTILLA_URL.",
            "api_unreachable",
        )
        self.stranger = Fault(f"What answers at {url} is not Flotilla's API. Check FLOTILLA_URL.", "not_our_api")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the API these settings name, with the key they give."""
        return cls.with_key(settings, find_key(settings))

    @classmethod
    def with_key(cls, settings: Settings, key: str | None, *, timeout_s: float | None = None) -> Self:
        """Return the API at FLOTILLA_URL, else at the socket in the home, which no stranger can have taken.

        A port of this host is anybody's while the API is down, so no key is sent to one that nobody has named.
        """
        if settings.url is not None:
            return cls(settings.url, key, timeout_s=timeout_s)
        path = settings.api_socket
        api = cls(LOCAL_URL, key, timeout_s=timeout_s, transport=LocalTransport(path, settings.home))
        api.late = api.late._replace(sentence=api.late.sentence.replace(LOCAL_URL, str(path)))
        api.unreachable = Fault(
            f"The API is not reachable at {path}. Start the fleet with `flotilla up`; or set FLOTILLA_HOME to the "
            "folder of the running fleet, or FLOTILLA_URL to where it is. One that an older release has started has no "
            "socket there: `flotilla upgrade` replaces it.",
            "api_unreachable",
        )
        api.stranger = Fault(f"What answers at {path} is not Flotilla's API. End it.", "not_our_api")
        return api

    def get(self, path: str, **query: str | int | None) -> Json:
        """GET an object below /api/v1."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: str | int | None) -> Json:
        """POST to a path below /api/v1."""
        return self._call("POST", path, body=body, query=query)

    def patch(self, path: str, body: Mapping[str, Any], **query: str | int | None) -> Json:
        """PATCH an object below /api/v1."""
        return self._call("PATCH", path, body=body, query=query)

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """PUT an object below /api/v1."""
        return self._call("PUT", path, body=body)

    def delete(self, path: str) -> None:
        """DELETE a path below /api/v1."""
        self._call("DELETE", path)

    def pages(self, path: str, **query: str | None) -> Iterator[Json]:
        """Yield every item of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=PAGE, cursor=cursor)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def bot_named(self, name: str) -> Json:
        """Return the bot called `name`. Raises CommandError (`bot_unknown`)."""
        found: list[Json] = self.get("/bots", name=name)["items"]
        if not found:
            raise CommandError(f"There is no bot called {name!r}. See: flotilla bots ls", code="bot_unknown")
        return found[0]

    def readiness(self) -> Json:
        """Return how the programs are, from /readyz, ready or not."""
        response = self._send("GET", "/readyz")
        if response.status_code not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
            raise self._refusal(response)
        found = self._object(response)
        if not any(isinstance(part, dict) and "ok" in part for part in found.values()):
            raise self.stranger.error()
        return found

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Json:
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        response = self._send(method, f"/api/v1{path}", wanted, body)
        if not response.is_success:
            raise self._refusal(response)
        return {} if response.status_code == HTTPStatus.NO_CONTENT else self._object(response)

    def _refusal(self, response: httpx.Response) -> ApiError:
        problem = self._problem(response)
        status = response.status_code
        detail = str(problem.get("detail") or problem.get("title") or f"The API answered with status {status}.")
        if status == HTTPStatus.UNAUTHORIZED:
            detail = (
                "The API does not accept this key: it is wrong, expired or revoked. "
                "Check FLOTILLA_API_KEY, or FLOTILLA_HOME if the key comes from there."
            )
        elif status == HTTPStatus.FORBIDDEN:
            detail = f"This key may not do that. {detail}"
        return ApiError(detail, code=str(problem.get("code") or "refused"), status=status)

    @staticmethod
    def _problem(response: httpx.Response) -> Json:
        try:
            found = response.json()
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
