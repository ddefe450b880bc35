"""A tap in front of the sandbox: a judge sees all that is said there over HTTP and on the gateway."""

import json
import re
from collections import Counter

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.gateway.connection import Effect, Send
from sandbox.gateway.wire import Wire
from tests.judges import events, exchanges
from tests.judges.description import Description
from tests.judges.exchanges import Exchange

_API = re.compile(r"/api(?:/v\d+)?(/.*)")
_SHOWN = 20


class Tap:
    """Holds what passes against the description, and keeps what does not fit."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self.violations: list[str] = []
        self.exchanges = 0
        self.statuses: Counter[int] = Counter()
        self.events = 0

    def check(self) -> None:
        """Raise AssertionError if anything did not fit since the last check."""
        if self.violations:
            told = list(dict.fromkeys(self.violations))
            self.violations = []
            more = f"\n… and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            lines = "\n".join(told[:_SHOWN])
            raise AssertionError(f"not as Discord describes its API:\n{lines}{more}")

    def middleware(self) -> Middleware:
        """Return the outermost middleware of the sandbox's application."""

        @web.middleware
        async def judged(request: web.Request, handler: Handler) -> web.StreamResponse:
            matched = _API.fullmatch(request.rel_url.raw_path)
            if matched is None:
                return await handler(request)
            body = await _peek(request)
            response = await handler(request)
            if request.transport is None or request.transport.is_closing():
                return response  # a fault on demand has cut the connection: nobody gets this answer whole
            self._judge(
                Exchange(
                    request.method,
                    matched[1],
                    response.status,
                    request.rel_url.raw_query_string,
                    request.headers.get("Content-Type", ""),
                    body,
                    response.content_type,
                    _sent(response),
                    {name.lower(): value for name, value in response.headers.items()},
                )
            )
            return response

        return judged

    def _judge(self, exchange: Exchange) -> None:
        self.exchanges += 1
        self.statuses[exchange.status] += 1
        self.violations += exchanges.violations(self._description, exchange)

    def listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """See each payload that a gateway of this process sends, as it is before compression, until the patch ends."""
        emit = Wire.emit

        def heard(wire: Wire, effect: Effect) -> None:
            if isinstance(effect, Send):
                self._hear(effect.frame)
            emit(wire, effect)

        monkeypatch.setattr(Wire, "emit", heard)

    def _hear(self, frame: bytes) -> None:
        payload = json.loads(frame)
        if payload["op"] == 0:
            self.events += 1
            self.violations += events.violations(self._description, payload["t"], payload["d"])


async def _peek(request: web.Request) -> bytes:
    """Return the request's body and put it back, unread, for the handler."""
    body = await request.content.read()
    if body:
        again = aiohttp.StreamReader(request.protocol, len(body))  # a smaller limit would halt the whole connection
        again.feed_data(body)
        again.feed_eof()
        request._payload = again
    return body


def _sent(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else b""
    return bytes(body) if isinstance(body, bytes | bytearray) else b""
