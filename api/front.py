"""What stands before the application: which requests reach it, and what every answer carries.

A page of another site, a broken proxy or a scanner gets a problem here, before a key or a body is looked at.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from quart import Quart
from werkzeug.exceptions import HTTPException

from api.problems import bare_problem
from api.sparingly import Sparingly
from flotilla.domain.hosts import answers_to
from flotilla.ids import new_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

FOR_PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by load balancers under whatever host they like, or none; what they answer anybody may know."""

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of every answer that does not set its own. Source: OWASP, REST Security Cheat Sheet, Security Headers."""

VERSIONS = ("1.0", "1.1")
log = structlog.get_logger()


class Front:
    """The ASGI application around `app`'s own. hosts: names under which it is asked, in lower case."""

    def __init__(self, app: Quart, inner: Asgi, hosts: Collection[str], sparingly: Sparingly) -> None:
        self._app = app
        self._inner = inner
        self._hosts = frozenset(hosts)
        self._sparingly = sparingly

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        scope = in_origin_form(scope)
        code = self._objection(scope)
        if scope["type"] == "websocket":
            await (self._inner(scope, receive, send) if code is None else self._refuse(scope, send, code))
            return
        answer = _Answer(send)
        if code is not None:
            await self._refuse(scope, answer, code)
            return
        try:
            await self._inner(scope, receive, answer)
        except Exception as fault:  # noqa: BLE001 - the server would answer it in its own words, with no header of ours
            await self._failed(scope, answer, fault)

    def takes_websocket(self, path: str) -> bool:
        """Return whether there is a WebSocket at this path."""
        try:
            self._app.url_map.bind("localhost", url_scheme="ws").match(path, "GET")
        except HTTPException:
            return False
        return True

    def _objection(self, scope: Scope) -> str | None:
        """Return the code of the problem with which a request is to be refused, None if it may go on."""
        path = scope["path"]
        if scope["http_version"] not in VERSIONS:
            return "http_version_unknown"
        if not path.startswith("/") or not path.isprintable() or b"%00" in scope.get("query_string", b""):
            return "request_malformed"
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if path not in FOR_PROBES and not answers_to(host.decode("latin1"), self._hosts):
            return "host_unknown"
        if "//" in path:
            return "route_unknown"  # Quart drops slashes: what a proxy refuses at /metrics would be had at //metrics
        wants_websocket = scope["type"] == "websocket" or is_websocket_upgrade(scope["headers"])
        return "websocket_unknown" if wants_websocket and not self.takes_websocket(path) else None

    async def _refuse(self, scope: Scope, send: Send, code: str) -> None:
        request_id = new_id()
        self._sparingly.warn("request.refused", code, peer=_peer(scope), request_id=request_id)
        status, headers, body = bare_problem(code, scope["path"], request_id)
        if code == "http_version_unknown":
            headers.append((b"connection", b"close"))
        kind = "http" if scope["type"] == "http" else "websocket.http"
        headers = with_ours(headers) if scope["type"] == "websocket" else headers
        await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": body, "more_body": False})

    async def _failed(self, scope: Scope, answer: "_Answer", fault: Exception) -> None:
        request_id = new_id()
        log.error("request.failed", exc_info=fault, request_id=request_id)
        if answer.begun:
            raise fault
        status, headers, body = bare_problem("internal_error", scope["path"], request_id)
        await answer({"type": "http.response.start", "status": status, "headers": headers})
        await answer({"type": "http.response.body", "body": body, "more_body": False})


class _Answer:
    """Sends an answer on with our headers."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Any) -> None:  # noqa: ANN401 - ASGI's messages
        if message["type"] == "http.response.start":
            self.begun = True
            message = {**message, "headers": with_ours(message.get("headers", []))}
        await self._send(message)


def _peer(scope: Scope) -> str:
    """Return the address of who asks, as a proxy on this host may tell it: nothing that is none."""
    client = scope.get("client")
    if client is None:
        return "local"
    try:
        return str(ipaddress.ip_address(client[0]))
    except ValueError:
        return "unknown"


def with_ours(headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those of ours that it has not set itself."""
    given = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in HEADERS if header[0] not in given)]


def is_websocket_upgrade(headers: Collection[tuple[bytes, bytes]]) -> bool:
    """Return whether a request asks to become a WebSocket. Source: RFC 6455, 4.2.1."""
    upgrades = any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers)
    return upgrades and any(name == b"connection" and b"upgrade" in value.lower() for name, value in headers)


def in_origin_form(scope: Scope) -> Scope:
    """Return a request as it would be with its path alone in the request line.

    A target that is a whole URL says the host, and the Host header does not. Source: RFC 9112, 3.2.2.
    """
    raw = scope.get("raw_path", b"")
    if raw.startswith(b"/") or b"://" not in raw:
        return scope
    try:
        target = urlsplit(raw.decode("ascii"))
    except ValueError:
        return scope
    if target.scheme.lower() not in {"http", "https", "ws", "wss"}:
        return scope
    headers = [header for header in scope["headers"] if header[0] != b"host"]
    path = target.path or "/"
    return {
        **scope,
        "path": unquote(path),
        "raw_path": path.encode(),
        "headers": [(b"host", target.netloc.encode()), *headers],
    }


def install_front(app: Quart, hosts: Collection[str], sparingly: Sparingly) -> Front:
    """Put the front before `app`."""
    inner: Asgi = app.asgi_app  # type: ignore[assignment] # scopes are mappings to us
    front = Front(app, inner, hosts, sparingly)
    app.asgi_app = front  # type: ignore[method-assign,assignment] # as Quart's documentation has it
    return front
