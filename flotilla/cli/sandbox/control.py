"""The sandbox's control API as the command line uses it: every fault a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import httpx

from flotilla.cli.connection import Connection, Fault, Json
from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.sandbox.key import WithSandboxKey
from flotilla.cli.sandbox.where import HOW_TO_START, sandbox_url
from flotilla.settings import Settings, load_settings

TIMEOUT_S = 60.0
"""A thousand guilds of a thousand members take a while; an act waits 3.5 s at most."""


class Control(Connection):
    """A connection to the control API. Each call raises ApiError or CommandError."""

    def __init__(self, url: str, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(url, TIMEOUT_S, transport=transport)
        self._settings = settings
        self._key = WithSandboxKey(settings)
        self._client.auth = self._key
        self.late = Fault(f"The sandbox at {url} did not answer within {TIMEOUT_S:.0f} s.", "sandbox_timeout")
        self.unreachable = Fault(f"No sandbox answers at {url}. {HOW_TO_START}", "no_sandbox")
        self.stranger = Fault(f"What answers at {url} is not a sandbox. {HOW_TO_START}", "not_a_sandbox")

    @classmethod
    def at(cls, given: str | None) -> Self:
        """Return the sandbox that `--url` or the settings name."""
        return cls(sandbox_url(given), load_settings())

    def get(self, path: str) -> Json:
        """GET an object below /sandbox."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST to a path below /sandbox."""
        return self._call("POST", path, body)

    def delete(self, path: str) -> Json:
        """DELETE a path below /sandbox."""
        return self._call("DELETE", path, None)

    def items(self, path: str) -> list[Json]:
        """GET a list below /sandbox."""
        return list(self.get(path)["items"])

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        response = self._send(method, f"/sandbox{path}", body=body)
        answer = self._object(response)
        if not response.is_success:
            raise self._refusal(response, answer)
        return answer

    def _refusal(self, response: httpx.Response, answer: Json) -> CommandError:
        error = answer.get("error")
        if not isinstance(error, dict):
            return self.stranger.error()
        code, message = str(error.get("code")), str(error.get("message"))
        if code == "no_such_call" and response.status_code == HTTPStatus.NOT_FOUND:
            message = f"The sandbox at {self.url} does not know this call; it is of another release. {message}"
        elif response.status_code == HTTPStatus.UNAUTHORIZED:
            message = self._what_is_wrong_with_the_key(message)
        return ApiError(_sentence(message), code=code, status=response.status_code)

    def _what_is_wrong_with_the_key(self, told: str) -> str:
        """Return why no key was right, with what the sandbox tells of where it is, and how to give it."""
        key, place = self._key.last
        if key is None:
            fault = (
                f"The sandbox at {self.url} wants its key: FLOTILLA_SANDBOX_KEY is not set, and {self._settings.home} "
                "has no sandbox.key that can be read."
            )
        else:
            fault = f"The sandbox at {self.url} does not accept the key in {place}."
        where = told.partition("Bearer KEY.")[2].strip()
        return f"{fault} {where} Set FLOTILLA_SANDBOX_KEY to it, or FLOTILLA_HOME to the folder of the demo."


def _sentence(text: str) -> str:
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]
