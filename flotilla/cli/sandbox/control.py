"""The sandbox's control API as the command line uses it: every fault a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.sandbox.where import HOW_TO_START, sandbox_url

TIMEOUT_S = 60.0
"""A thousand guilds of a thousand members take a while; an act waits 3.5 s at most."""
Json = dict[str, Any]


class Control:
    """A connection to the control API. Each call raises ApiError or CommandError."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        # trust_env: a proxy for the web has no business between two programs of this machine.
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, transport=transport, trust_env=False)

    @classmethod
    def at(cls, given: str | None) -> Self:
        """Return the sandbox that `--url` or the settings name."""
        return cls(sandbox_url(given))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.close()

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
        try:
            response = self._client.request(method, f"/sandbox{path}", json=body)
        except httpx.TimeoutException as fault:
            raise CommandError(
                f"The sandbox at {self.url} did not answer within {TIMEOUT_S:.0f} s.", code="sandbox_timeout"
            ) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise CommandError(f"No sandbox answers at {self.url}. {HOW_TO_START}", code="no_sandbox") from fault
        answer = self._object(response)
        if not response.is_success:
            raise self._refusal(response, answer)
        return answer

    def _object(self, response: httpx.Response) -> Json:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._stranger()
        return found

    def _refusal(self, response: httpx.Response, answer: Json) -> CommandError:
        error = answer.get("error")
        if not isinstance(error, dict):
            return self._stranger()
        code, message = str(error.get("code")), str(error.get("message"))
        if code == "no_such_call" and response.status_code == HTTPStatus.NOT_FOUND:
            message = f"The sandbox at {self.url} does not know this call; it is of another release. {message}"
        return ApiError(_sentence(message), code=code, status=response.status_code)

    def _stranger(self) -> CommandError:
        return CommandError(f"What answers at {self.url} is not a sandbox. {HOW_TO_START}", code="not_a_sandbox")


def _sentence(text: str) -> str:
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]
