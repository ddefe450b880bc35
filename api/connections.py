"""uvicorn's HTTP/1.1 connections, for strangers: how many, for how long, and an answer to whatever is no request.

uvicorn bounds none of that: a peer that sends its headers a byte at a time, or reads no answer, stays for ever.
"""

import contextlib
import ipaddress
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from logging import ERROR, getLogger
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.front import with_ours
from api.problems import bare_problem
from api.sparingly import Sparingly
from flotilla.ids import new_id
from flotilla.peer import credentials

LOCAL = "local"
LINGER_S = 2.0
"""How long a peer that was refused may go on sending: closed at once, it would not read why. As nginx's lingering."""

FRESH_S = 0.5
"""How long a connection without a request is waited for when this process ends; who made it was not refused."""

STALL_S = 30.0
"""How long a peer may read nothing of its answer."""

HEAD_BYTES = 4096
"""So much of a request's headers is looked at at a time."""

FILES_BESIDE = 128
"""Descriptors that are left for the database, Valkey, logs and files. Source: an API at work has fewer than 40."""

_QUIET = getLogger("uvicorn.error.connection")
"""uvicorn warns of each bad request, twice of some; what is told of them is told by us, sparingly."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of connections, named as in `flotilla.settings` without `http_`."""

    connections: int = 100
    header_s: float = 10.0
    idle_s: float = 65.0


class Connections:
    """All connections of this process, by peer. takes_websocket: tells of a path whether there is one."""

    def __init__(self, limits: Limits, takes_websocket: Callable[[str], bool], sparingly: Sparingly) -> None:
        _QUIET.setLevel(ERROR)
        self.limits = limits
        self.takes_websocket = takes_websocket
        self.sparingly = sparingly
        self._open: set[Connection] = set()
        self._by_peer: Counter[str] = Counter()
        self._most = max(limits.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_BESIDE)

    def protocol(self, **of_uvicorn: Any) -> "Connection":  # noqa: ANN401 - uvicorn's own arguments
        """Return what serves a new connection: what uvicorn's Config takes as `http`."""
        return Connection(self, **of_uvicorn)

    def enter(self, connection: "Connection") -> bool:
        """Count a connection in; return whether it is one of those that its peer and this process may have."""
        self._open.add(connection)
        self._by_peer[connection.peer] += 1
        return self._by_peer[connection.peer] <= self.limits.connections and len(self._open) <= self._most

    @property
    def crowded(self) -> bool:
        """Whether there is no descriptor to spare for telling one more that there are too many."""
        return len(self._open) > self._most + FILES_BESIDE // 2

    def leave(self, connection: "Connection") -> None:
        """Count a connection out; again, it changes nothing."""
        if connection in self._open:
            self._open.discard(connection)
            self._by_peer[connection.peer] -= 1
            if not self._by_peer[connection.peer]:
                del self._by_peer[connection.peer]

    def sweep(self) -> None:
        """End what has taken too long. To be called about ten times a second."""
        now = time.monotonic()
        for connection in list(self._open):
            connection.judge(now)


class Connection(H11Protocol):
    """One connection. `serving` a request it is the application's; else it has its time to send one, or goes."""

    def __init__(self, all_connections: Connections, **of_uvicorn: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(**of_uvicorn)
        self.logger = _QUIET
        self.peer = ""
        self._all = all_connections
        self._idle_since = time.monotonic()
        self._head_since: float | None = None
        self._unsent_bytes = 0
        self._sent_at = self._idle_since
        self._refused_at = self._idle_since
        self._fresh = True
        self._refused = False
        self._stopping = False
        self._is_websocket = False

    @property
    def serving(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    # asyncio's calls --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - any transport of asyncio's
        """Count it in, and refuse whom this socket is not for."""
        super().connection_made(transport)
        self.peer = peer_of(self.client)
        fits = self._all.enter(self)
        if self.client is None and not _is_ours(transport):
            self.refuse("peer_refused")
        elif self._all.crowded:
            transport.abort()
        elif not fits:
            self.refuse("connections_too_many")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what was sent; of who was refused, nothing is read."""
        if self._refused:
            return
        if not self.serving and self._head_since is None:
            self._head_since = time.monotonic()
        while data and not (self._refused or self._is_websocket):
            # h11 bounds what is incomplete: headers that come all at once would be of any size.
            size = len(data) if self.serving else HEAD_BYTES
            super().data_received(data[:size])
            data = data[size:]
        if self.serving:
            self._head_since = None
            self._fresh = False
            self.cycle.keep_alive = self.cycle.keep_alive and not self._stopping

    # uvicorn's calls --------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Await the next request, or answer the one that has come meanwhile."""
        super().on_response_complete()
        if not self.serving:
            self._idle_since = time.monotonic()
            self._head_since = self._idle_since if self.conn.trailing_data[0] else None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Answer what is no request. uvicorn calls this where it has caught h11's error, which says what is wrong."""
        fault = sys.exception()
        hint = fault.error_status_hint if isinstance(fault, h11.RemoteProtocolError) else HTTPStatus.BAD_REQUEST
        too_large = hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and not self.serving
        self.refuse("headers_too_large" if too_large else "request_malformed")

    def shutdown(self) -> None:
        """Close when nothing is under way. One that has just been made may still send the request it was made for."""
        self._stopping = True
        if self._fresh:
            self.loop.call_later(FRESH_S, self._close_unless_serving)
            return
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        """Let a WebSocket begin where there is one; what asks for another is answered as any request is."""
        return self._get_upgrade() == b"websocket" and self._all.takes_websocket(self.scope["path"])

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over; it counts until it is lost."""
        super().handle_websocket_upgrade(event)
        protocol: Any = self.transport.get_protocol()
        lost = protocol.connection_lost

        def counted_out(exc: Exception | None) -> None:
            self._all.leave(self)
            lost(exc)

        protocol.connection_lost = counted_out
        self._is_websocket = True

    # Ours -------------------------------------------------------------------------------------------------------------

    def refuse(self, code: str) -> None:
        """Answer with a problem and read no more; close when the peer has had time to read it.

        Where the request has its answer already, as with the rest of a body that nobody wanted, it is closed at once.
        """
        request_id = new_id()
        self._all.sparingly.warn("connection.refused", code, peer=self.peer, request_id=request_id)
        self._unset_keepalive_if_required()
        self._refused = True
        self._refused_at = time.monotonic()
        if self.serving:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        status, headers, body = bare_problem(code, "", request_id)
        headers += [(b"connection", b"close"), (b"date", formatdate(usegmt=True).encode())]
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        lines += [name + b": " + value for name, value in with_ours(headers)]
        self.flow.resume_reading()
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        with contextlib.suppress(OSError):  # it has gone already
            self.transport.write_eof()

    def judge(self, now: float) -> None:
        """End it if it has taken too long."""
        if self._is_websocket:
            return
        unsent_bytes = self.transport.get_write_buffer_size()
        if not unsent_bytes or unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._sent_at = unsent_bytes, now
        if now - self._sent_at > STALL_S or (self._refused and now - self._refused_at > LINGER_S):
            self.transport.abort()
        elif not (self.serving or self._refused or self.transport.is_closing()):
            self._judge_silence(now)

    def _judge_silence(self, now: float) -> None:
        if self._head_since is not None and now - self._head_since > self._all.limits.header_s:
            self.refuse("headers_too_slow")
        elif self._head_since is None and now - self._idle_since > self._all.limits.idle_s:
            self.transport.close()

    def _close_unless_serving(self) -> None:
        if not self.serving:
            self.transport.close()


def peer_of(client: tuple[str, int] | None) -> str:
    """Return what counts as one peer: an IPv4 address, the /64 network of an IPv6 one, or all of the Unix socket."""
    if client is None:
        return LOCAL
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _is_ours(transport: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether the peer of a Unix socket is our user or root, as the kernel vouches for it."""
    try:
        _, uid = credentials(transport.get_extra_info("socket"))
    except OSError:
        return False
    return uid in {0, os.geteuid()}
