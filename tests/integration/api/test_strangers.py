"""Whatever a stranger sends to the port: the API lives, answers in problems, and says little of it in its log."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.front import HEADERS
from api.sparingly import BURST, EVERY_S
from flotilla.db.engine import Database
from flotilla.db.schema import upgrade
from flotilla.home import prepare_home
from flotilla.settings import Settings
from tests.services import Program

PATIENCE_S = 30.0
HEADER_S = 3
IDLE_S = 3


@dataclass
class Door:
    """An API that strangers reach."""

    home: Path
    port: int
    program: Program

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S, source_address=(source, 0))

    def ask(self, sent: bytes) -> "Answer | None":
        """Send bytes; return the first answer, None if there is none before the API closes."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
            return read_answer(connection)

    def lives(self) -> bool:
        answer = self.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return answer is not None and answer.status == 200


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def problem(self) -> dict[str, Any]:
        assert ("content-type", "application/problem+json") in self.headers, self
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert ("x-request-id", found["request_id"]) in self.headers
        return found


def read_answer(connection: socket.socket) -> Answer | None:
    """Read an answer; it has our headers, whatever it is."""
    answer = http.client.HTTPResponse(connection, method="GET")
    try:
        answer.begin()
        found = Answer(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())
    except (http.client.HTTPException, ConnectionError):
        return None
    names = [name for name, _ in found.headers]
    for name, _ in HEADERS:
        assert names.count(name.decode()) == 1, (name, found)
    return found


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    folder = Path(tempfile.mkdtemp(prefix="flotilla-"))
    home = folder / "var"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    here = Settings(home=home)
    prepare_home(here)

    async def make() -> None:
        database = Database(here.effective_database_url)
        await upgrade(database)
        await database.close()

    import asyncio  # noqa: PLC0415 - for this alone

    asyncio.run(make())
    program = Program("api", home, http_port=port, http_header_s=HEADER_S, http_idle_s=IDLE_S).start()
    try:
        program.wait_for("api.listening")
        yield Door(home, port, program)
    finally:
        program.end()
        shutil.rmtree(folder)


END = b"\r\n\r\n"
HOST = b"\r\nHost: localhost"
KEY = b"\r\nAuthorization: Bearer flt_wrong"
ATTACKS: dict[str, tuple[bytes, int, str]] = {
    "words": (b"nonsense" + END, 400, "request_malformed"),
    "bytes": (bytes(range(256)) + END, 400, "request_malformed"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + END, 400, "request_malformed"),
    "HTTP/0.9": (b"GET /" + END, 400, "request_malformed"),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_unknown"),
    "HTTP/3.0": (b"GET / HTTP/3.0" + HOST + END, 505, "http_version_unknown"),
    "a long line": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1" + HOST + END, 431, "headers_too_large"),
    "a long header": (b"GET / HTTP/1.1" + HOST + b"\r\nX: " + b"a" * 70_000 + END, 431, "headers_too_large"),
    "many headers": (b"GET / HTTP/1.1" + HOST + b"\r\nX: a" * 10_000 + END, 431, "headers_too_large"),
    "a header without end": (b"GET / HTTP/1.1" + HOST + b"\r\nX: " + b"a" * 70_000, 431, "headers_too_large"),
    "NUL in a header": (b"GET / HTTP/1.1" + HOST + b"\r\nX: a\0b" + END, 400, "request_malformed"),
    "a header without name": (b"GET / HTTP/1.1" + HOST + b"\r\n: a" + END, 400, "request_malformed"),
    "space before the colon": (b"GET / HTTP/1.1" + HOST + b"\r\nX : a" + END, 400, "request_malformed"),
    "no Host": (b"GET /api/v1/bots HTTP/1.1" + END, 400, "request_malformed"),
    "no Host, of HTTP/1.0": (b"GET /api/v1/bots HTTP/1.0" + END, 421, "host_unknown"),
    "two Hosts": (b"GET / HTTP/1.1" + HOST + HOST + END, 400, "request_malformed"),
    "a foreign Host": (b"GET /api/v1/bots HTTP/1.1\r\nHost: evil.example" + END, 421, "host_unknown"),
    "a foreign URL": (b"GET http://evil.example/docs HTTP/1.1" + HOST + END, 421, "host_unknown"),
    "two slashes": (b"GET //healthz HTTP/1.1" + HOST + END, 404, "route_unknown"),
    "a host as path": (b"GET //evil.example/.. HTTP/1.1" + HOST + END, 404, "route_unknown"),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "a star": (b"OPTIONS * HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "a URL of another scheme": (b"GET gopher://localhost/ HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "NUL in the path": (b"GET /api/v1/bots/%00 HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "NUL in the query": (b"GET /api/v1/bots?name=%00 HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "a negative length": (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: -1" + END, 400, "request_malformed"),
    "two lengths": (
        b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: 1\r\nContent-Length: 2" + END,
        400,
        "request_malformed",
    ),
    "a coding that is none": (
        b"POST / HTTP/1.1" + HOST + b"\r\nTransfer-Encoding: nonsense" + END,
        400,
        "request_malformed",
    ),
    "a method that is none": (b"\x7f / HTTP/1.1" + HOST + END, 400, "request_malformed"),
    "an unknown method": (b"BREW /healthz HTTP/1.1" + HOST + END, 405, "method_not_allowed"),
    "a WebSocket without key": (
        b"GET / HTTP/1.1" + HOST + b"\r\nConnection: Upgrade\r\nUpgrade: websocket" + END,
        404,
        "websocket_unknown",
    ),
    "a WebSocket by POST": (
        b"POST /api/v1/bots HTTP/1.1" + HOST + b"\r\nConnection: Upgrade\r\nUpgrade: websocket" + END,
        404,
        "websocket_unknown",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), ATTACKS.values(), ids=ATTACKS)
def test_what_is_no_request_of_ours_is_a_problem(door: Door, sent: bytes, status: int, code: str) -> None:
    answer = door.ask(sent)
    assert answer is not None
    assert (answer.status, answer.problem()["code"]) == (status, code)
    assert door.lives()
    assert "Traceback" not in door.program.log


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n\r\n", b"5\r\nab\r\n\r\n", b"FFFFFFFFFFFFFFFFFF\r\n", b"1" * 70_000, b"0\r\nX"]
)
def test_chunks_that_are_none_end_their_connection_alone(door: Door, body: bytes) -> None:
    head = b"POST /api/v1/bots HTTP/1.1" + HOST + KEY + b"\r\nTransfer-Encoding: chunked" + END
    with door.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head + body)
        answer = read_answer(connection)
        assert answer is not None
        assert answer.problem()["code"] in {"key_refused", "request_malformed"}
    assert door.lives()
    assert "Traceback" not in door.program.log


def test_a_probe_of_http_1_0_without_a_host_is_answered(door: Door) -> None:
    answer = door.ask(b"GET /healthz HTTP/1.0" + END)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


def test_an_upgrade_to_something_else_is_ignored(door: Door) -> None:
    sent = b"GET /healthz HTTP/1.1" + HOST + b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c" + END
    answer = door.ask(sent)
    assert answer is not None
    assert answer.status == 200


GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"


@st.composite
def nearly_requests(draw: st.DrawFn) -> bytes:
    """A request with some of its bytes replaced, left out or repeated; or any bytes."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    text = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text) - 1))
        text[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        text = text or bytearray(GOOD)
    return bytes(text)


@settings(max_examples=60, deadline=None)
@given(nearly_requests())
def test_no_bytes_at_all_make_it_fail(door: Door, sent: bytes) -> None:
    with door.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent + END)
            connection.settimeout(0.1)
        try:
            answer = read_answer(connection)
        except TimeoutError:
            return  # it waits for more, and will not for long: the tests of slow requests say so
    assert answer is None or answer.status < 500 or answer.status == 505, answer


@contextlib.contextmanager
def few_lines(door: Door, code: str) -> Iterator[None]:
    """What happens within leaves no more lines of this code than the time allows, and no traceback."""
    before, began = len(door.program.log), time.monotonic()
    yield
    periods = 2 + (time.monotonic() - began) / EVERY_S
    lines = door.program.log[before:].splitlines()
    assert sum(code in line for line in lines) <= BURST * periods
    assert not any("Traceback" in line or len(line) > 500 for line in lines)


def test_a_storm_of_websockets_leaves_a_few_lines(door: Door) -> None:
    """It was a 500 and a traceback of 5 kB each, which pushed everything else out of the log."""
    sent = b"GET /api/v1/events HTTP/1.1" + HOST + b"\r\nConnection: Upgrade\r\nUpgrade: websocket" + END
    with few_lines(door, "websocket_unknown"), door.connect() as connection:
        for _ in range(300):
            connection.sendall(sent)
            answer = read_answer(connection)
            assert answer is not None
            assert answer.status == 404


def test_a_storm_of_bad_requests_and_wrong_keys_leaves_a_few_lines(door: Door) -> None:
    with few_lines(door, "request_malformed"), few_lines(door, "status=401"):
        for _ in range(100):
            answer = door.ask(b"nonsense" + END)
            assert answer is not None
            assert answer.status == 400
            answer = door.ask(b"GET /api/v1/bots HTTP/1.1" + HOST + KEY + b"\r\nConnection: close" + END)
            assert answer is not None
            assert answer.status == 401


@dataclass
class Slow:
    """A connection that sends something, then a byte now and then; what came back until the API closed it."""

    connection: socket.socket
    drips: bool
    found: bytes = b""
    closed: bool = False

    def go_on(self) -> None:
        try:
            if self.drips:
                self.connection.send(b"x")
            chunk = self.connection.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk = b""
        self.found += chunk
        self.closed = self.closed or not chunk


def test_what_takes_too_long_is_ended(door: Door) -> None:
    good = b"GET /healthz HTTP/1.1" + HOST
    ways = {
        "headers begun": (b"GET /healthz HTTP/1.1\r\nHost: local", False),
        "headers that drip": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", True),
        "headers that drip after an answer": (good + END + b"G", True),
        "a body that nobody reads": (good + b"\r\nContent-Length: 1000000000" + END, True),
        "silence": (b"", False),
        "silence after an answer": (good + END, False),
    }
    with contextlib.ExitStack() as stack:
        slow: dict[str, Slow] = {}
        for name, (sent, drips) in ways.items():
            connection = stack.enter_context(door.connect())
            connection.sendall(sent)
            connection.setblocking(False)
            slow[name] = Slow(connection, drips)
        deadline = time.monotonic() + PATIENCE_S
        while not all(one.closed for one in slow.values()):
            assert time.monotonic() < deadline, slow
            for one in slow.values():
                if not one.closed:
                    one.go_on()
            time.sleep(0.05)
    answers = {name: [int(part[:3]) for part in one.found.split(b"HTTP/1.1 ")[1:]] for name, one in slow.items()}
    assert answers == {
        "headers begun": [408],
        "headers that drip": [408],
        "headers that drip after an answer": [200, 408],
        "a body that nobody reads": [200],
        "silence": [],
        "silence after an answer": [200],
    }
    assert b"headers_too_slow" in slow["headers begun"].found


STRANGER = """
import os, socket, sys
place = os.open(sys.argv[1], os.O_PATH)
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.connect(f"/proc/self/fd/{place}")
connection.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
sys.stdout.buffer.write(connection.recv(65536))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")
def test_the_socket_in_the_home_is_for_nobody_else_even_if_its_mode_is_lost(door: Door) -> None:
    path = door.home / "run" / "api.sock"
    command = [sys.executable, "-c", STRANGER, str(path)]
    shut = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert "PermissionError" in shut.stderr
    path.chmod(0o666)
    try:
        refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    finally:
        path.chmod(0o600)
    assert refused.stdout.startswith("HTTP/1.1 403 "), refused
    assert "peer_refused" in refused.stdout
