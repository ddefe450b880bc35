"""The API listens wherever its operator likes.

Any address of this host, a name, or all addresses at once, IPv4 or IPv6, with brackets or without: whoever asks from
this host, and every URL that is printed, finds it there.
"""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flotilla.address import listen, url_of
from flotilla.cli.api import Api
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.launch.probes import port_free
from flotilla.settings import Settings
from tests.stack import Stack, until

HOSTS = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost"]
HOSTS_V6 = ["::1", "[::1]", "::", "[::]", "::ffff:127.0.0.1"]


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
ALL = [*HOSTS, *(pytest.param(host, marks=needs_ipv6) for host in HOSTS_V6)]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"here": true}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(host: str) -> Iterator[int]:
    """Answer HTTP where the API would listen; yield the port."""
    with (
        listen(host, 0) as listener,
        HTTPServer(("", 0), Answering, bind_and_activate=False) as server,
    ):
        server.socket.close()
        server.socket = listener
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield listener.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ALL)
def test_the_command_line_finds_the_api_wherever_it_listens(host: str) -> None:
    with serving(host) as port:
        settings = Settings(http_host=host, http_port=port)
        with Api(settings.effective_url, None) as api:
            assert api.get("/anything") == {"here": True}


@pytest.mark.parametrize("host", ALL)
def test_a_taken_port_is_seen_wherever_it_is(host: str) -> None:
    with listen(host, 0) as listener:
        settings = Settings(http_host=host, http_port=listener.getsockname()[1])
        with pytest.raises(Exception, match="is taken"):
            port_free(settings)
    assert "free" in port_free(settings)


@needs_ipv6
def test_two_colons_are_all_addresses_of_both_families() -> None:
    with serving("::") as port:
        for url in (f"http://127.0.0.1:{port}", f"http://[::1]:{port}"):
            with Api(url, None) as api:
                assert api.get("/anything") == {"here": True}


@needs_ipv6
async def test_a_real_api_on_all_addresses_is_asked_by_the_command_line(stack: Stack) -> None:
    with listen("::", 0) as listener:
        port = listener.getsockname()[1]
    stack.environment |= {"FLOTILLA_HTTP_HOST": "[::]", "FLOTILLA_HTTP_PORT": str(port)}
    key = await SqlApiKeys(stack.database).create("test", Role.ADMIN)
    api = await stack.start("api")
    await until(lambda: "api.listening" in api.text(), "the API listens")
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flotilla", "bots", "ls"),
        env=os.environ | stack.environment | {"FLOTILLA_API_KEY": key, "FLOTILLA_URL": url_of("[::]", port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(command.communicate(), 60)
    assert (command.returncode, b"no bot" in said.lower()) == (0, True), said
