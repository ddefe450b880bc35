"""Whether our own supervisord is going down as a whole, or only restarts this program."""

import asyncio
import http.client
import os
import socket
import xmlrpc.client

TIMEOUT_S = 1.0
_SHUTDOWN_FAULT = 6
"""supervisord answers calls with this fault once it shuts down (its Faults.SHUTDOWN_STATE)."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _host: object) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


async def everything_stops() -> bool:
    """Return whether supervisord is shutting down, so that the bots must stop too.

    False when only this program is stopped, when there is no supervisord, and when it does not answer: bots that go on
    without a supervisor are adopted by the next one; bots that stop are an outage.
    """
    url = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not url.startswith("unix://"):
        return False
    return await asyncio.to_thread(_shutting_down, url.removeprefix("unix://"))


def _shutting_down(path: str) -> bool:
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(path))
    try:
        state = proxy.supervisor.getState()
    except xmlrpc.client.Fault as fault:
        return fault.faultCode == _SHUTDOWN_FAULT
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False
    return isinstance(state, dict) and state.get("statename") in {"SHUTDOWN", "RESTARTING"}
