"""HTTP over the API's socket in the home, to nobody but the fleet itself: the key is sent when that is proved."""

import http.client
from pathlib import Path

import httpx

from flotilla.unix_socket import connect, trusted_users


class LocalTransport(httpx.BaseTransport):
    """Carries requests to who listens at `path`, one connection each. home: whose fleet that should be.

    Raises httpx's errors, and StrangersSocketError before anything was sent. httpx can speak to a Unix socket as well,
    but lets nobody look at the peer between connecting and sending.
    """

    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._home = home

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole answer."""
        timeout_s = request.extensions.get("timeout", {}).get("read")
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        try:
            connection.sock = connect(self._path, trusted_users(self._home), timeout_s)
            return _ask(connection, request)
        except TimeoutError as fault:
            raise httpx.ReadTimeout(str(fault), request=request) from fault
        except OSError as fault:
            raise httpx.ConnectError(str(fault), request=request) from fault
        except http.client.HTTPException as fault:
            raise httpx.RemoteProtocolError(repr(fault), request=request) from fault
        finally:
            connection.close()


def _ask(connection: http.client.HTTPConnection, request: httpx.Request) -> httpx.Response:
    connection.putrequest(request.method, request.url.raw_path.decode(), skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        if name.lower() not in {b"accept-encoding", b"connection"}:
            connection.putheader(name, value)
    connection.putheader("connection", "close")
    connection.endheaders(request.read())
    answer = connection.getresponse()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read(), request=request)
