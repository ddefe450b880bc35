"""JSON over HTTP to another program, as the command line speaks it: every fault a sentence."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from flotilla.cli.faults import CommandError

Json = dict[str, Any]


class Fault(NamedTuple):
    """What the operator reads when the connection fails so, and the code for programs."""

    sentence: str
    code: str

    def error(self) -> CommandError:
        """Return the error to raise."""
        return CommandError(self.sentence, code=self.code)


class Connection:
    """A connection to one program; what to say if nothing (late), nobody (unreachable) or somebody else answers."""

    late: Fault
    unreachable: Fault
    stranger: Fault

    def __init__(
        self,
        url: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        # trust_env: the program is on this host or one the operator named; a proxy for the web must not see its key.
        # verify: to read all certificates takes longer than the rest of most commands, and plain HTTP needs none.
        self._client = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout_s,
            transport=transport,
            trust_env=False,
            verify=url.startswith("https://"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Return the answer, whatever its status. Raises CommandError if there is none."""
        try:
            return self._client.request(method, path, params=dict(query or {}), json=body)
        except httpx.TimeoutException as fault:
            raise self.late.error() from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise self.unreachable.error() from fault

    def _object(self, response: httpx.Response) -> Json:
        """Return the object in an answer. Raises CommandError if it holds none."""
        stranger = self.stranger

        class Answer(dict[str, Any]):
            """An object of the answer, however deep: what it lacks tells that it is not what was asked for."""

            def __missing__(self, key: str) -> Any:  # noqa: ANN401 - it never returns
                raise stranger.error()

        try:
            found: Any = json.loads(response.content, object_hook=Answer)
        except (ValueError, RecursionError):
            found = None
        items = found.get("items", []) if isinstance(found, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.stranger.error()
        return Answer(found)
