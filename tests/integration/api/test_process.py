"""`python -m api` as a real process."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import pytest
import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.db.schema import upgrade
from flotilla.home import ProgramLock, prepare_home
from flotilla.processes import start_ticks
from flotilla.settings import Settings
from flotilla.unix_socket import connect
from tests.builders import token_of
from tests.services import Program, running_valkey, wait_until

Start = Callable[..., Program]
STOP_S = 10.0
"""An idle machine takes less than 3 s. Without the grace period's end the stop would take for ever."""


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, because sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="flotilla-"))
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def start(home: Path, port: int) -> Iterator[Start]:
    programs: list[Program] = []

    def begin(**env: object) -> Program:
        program = Program("api", **{"home": home, "http_port": port, **env})  # type: ignore[arg-type] # values are any
        programs.append(program)
        return program.start()

    yield begin
    for program in programs:
        program.end()


@pytest.fixture
async def key(home: Path) -> str:
    """An admin's key in a database that is in shape."""
    settings = Settings(home=home)
    prepare_home(settings)
    database = Database(settings.effective_database_url)
    await upgrade(database)
    key = await SqlApiKeys(database).create("test", Role.ADMIN)
    await database.close()
    return key


def client(port: int, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False
    )


def assert_refused(program: Program, *words: str) -> None:
    """It ends with 78 and one sentence that holds `words`."""
    assert program.exit_code() == 78
    assert "Traceback" not in program.log
    (sentence,) = [line for line in program.log.splitlines() if line.startswith("api: ")]
    for word in words:
        assert word in sentence


def test_api_serves_and_stops_on_sigterm(start: Start, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    with client(port, key) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/api/v1/bots").json() == {"items": [], "next_cursor": None}
        began = time.monotonic()
        program.send(signal.SIGTERM)
        assert program.exit_code() == 0
        assert time.monotonic() - began < STOP_S
    assert "api.stopped" in program.log
    assert "Traceback" not in program.log


def test_api_stops_in_time_whatever_its_clients_do(start: Start, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    idle = socket.create_connection(("127.0.0.1", port))
    slow = socket.create_connection(("127.0.0.1", port))
    head = f"POST /api/v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 99\r\n\r\n"
    slow.sendall(head.encode() + b"{")
    with client(port, key) as http:
        assert http.get("/healthz").status_code == 200
    began = time.monotonic()
    program.send(signal.SIGTERM)
    assert program.exit_code() == 0
    assert time.monotonic() - began < STOP_S
    for connection in (idle, slow):
        connection.close()


def test_api_works_without_valkey_and_is_not_ready(start: Start, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    with client(port, key) as http:
        ready = http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["valkey"]["ok"] is False
        assert ready.json()["database"]["ok"] is True
        assert http.post("/api/v1/bots", json={"name": "a", "token": token_of(1)}).status_code == 201
        body = {"kind": "restart", "selector": {"all": True}}
        assert http.post("/api/v1/operations", json=body).status_code == 202
    assert "job.not_enqueued" in program.log
    assert "nudge.lost" in program.log
    assert "Traceback" not in program.log
    assert token_of(1) not in program.log


def test_api_finds_valkey_when_it_comes_and_enqueues(start: Start, home: Path, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    with client(port, key) as http, running_valkey(home / "run" / "valkey.sock") as valkey:
        assert http.get("/readyz").json()["valkey"]["ok"] is True
        http.post("/api/v1/bots", json={"name": "a", "token": token_of(1)})
        operation = http.post("/api/v1/operations", json={"kind": "restart", "selector": {"all": True}}).json()
        with valkey.client() as store:
            assert store.zrange("flotilla:jobs", 0, -1) == [f"advance_operation:{operation['id']}".encode()]


def test_port_that_is_taken_is_named_with_its_setting(start: Start, port: int, key: str) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert_refused(start(), str(port), "FLOTILLA_HTTP_PORT")


def test_host_that_is_not_ours_is_named_with_its_setting(start: Start, key: str) -> None:
    assert_refused(start(http_host="192.0.2.1"), "192.0.2.1", "FLOTILLA_HTTP_HOST")


def test_home_that_cannot_be_written_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(start(home=tmp_path / "file" / "var"), "FLOTILLA_HOME")


def test_database_without_a_shape_is_refused(start: Start) -> None:
    assert_refused(start(), "flotilla db upgrade")


def test_database_of_a_newer_release_is_refused(start: Start, home: Path, key: str) -> None:
    async def age() -> None:
        database = Database(f"sqlite:///{home / 'flotilla.db'}")
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await database.close()

    asyncio.run(age())
    assert_refused(start(), "newer")


def test_second_api_in_one_home_is_refused(start: Start, home: Path, port: int, key: str) -> None:
    first = start()
    first.wait_for("api.listening")
    assert_refused(start(http_port=port + 1 if port < 65535 else port - 1), "Another api")


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("redis_url", "nonsense", "FLOTILLA_REDIS_URL"),
        ("database_url", "mysql://u:s3cret@h/d", "FLOTILLA_DATABASE_URL"),
        ("http_port", "many", "FLOTILLA_HTTP_PORT"),
    ],
)
def test_setting_that_is_wrong_is_named(start: Start, key: str, setting: str, value: str, word: str) -> None:
    program = start(**{setting: value})
    assert_refused(program, word)
    assert "s3cret" not in program.log


@dataclass
class Callers:
    """Clients that make a connection and ask, one after the other, by TCP and by the socket in the home.

    answered: how often each way. refused: what went wrong before they were connected. lost: after that.
    """

    home: Path
    port: int
    answered: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        ways = (("tcp", self._tcp), ("unix", self._unix))
        self._threads = [threading.Thread(target=self._ask, args=way) for way in ways]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def answered_again(self) -> None:
        before = self.answered.copy()
        wait_until(lambda: all(self.answered[way] > before[way] + 1 for way in ("tcp", "unix")), "callers are answered")

    def _tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def _unix(self) -> socket.socket:
        return connect(self.home / "run" / "api.sock", {os.geteuid()}, 60)

    def _ask(self, way: str, make: Callable[[], socket.socket]) -> None:
        while not self._over.is_set():
            try:
                connection = make()
            except OSError as fault:
                self.refused.append(f"{way}: {fault!r}")
                continue
            with connection:
                try:
                    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = connection.recv(65536)
                except OSError as fault:
                    answer = repr(fault).encode()
            if answer.startswith(b"HTTP/1.1 200 "):
                self.answered[way] += 1
            else:
                self.lost.append(f"{way}: {answer!r}")


def inner_pid(home: Path) -> int:
    lock = ProgramLock(Settings(home=home), "api")
    wait_until(lambda: lock.holder() is not None, "somebody holds the API's lock")
    return lock.holder() or 0


def test_api_that_is_killed_or_renewed_refuses_nobody_meanwhile(start: Start, home: Path, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    with Callers(home, port) as callers:
        callers.answered_again()
        os.kill(inner_pid(home), signal.SIGKILL)
        program.wait_for("api.listening", times=2)
        callers.answered_again()
        before = inner_pid(home)
        program.send(signal.SIGUSR2)
        program.wait_for("api.listening", times=3)
        callers.answered_again()
    assert callers.refused == []
    # What the killed process was about to answer; and who got no turn to send within the other one's last moments.
    assert len(callers.lost) <= 4, callers.lost
    assert inner_pid(home) != before
    os.kill(inner_pid(home), signal.SIGTERM)
    assert program.exit_code() == 0, "told to end, it ends as a whole"


def test_socket_that_somebody_removed_is_made_anew(start: Start, home: Path, port: int, key: str) -> None:
    program = start()
    program.wait_for("api.listening")
    shutil.rmtree(home / "run")
    program.wait_for("listener.made_anew")
    with Callers(home, port) as callers:
        callers.answered_again()
        os.kill(inner_pid(home), signal.SIGKILL)
        program.wait_for("api.listening", times=2)
        callers.answered_again()
    assert callers.refused == []


def test_killed_api_starts_again_in_the_same_home(start: Start, home: Path, port: int, key: str) -> None:
    first = start()
    first.wait_for("api.listening")
    inner = inner_pid(home)
    first.send(signal.SIGKILL)
    assert first.exit_code() == -signal.SIGKILL
    wait_until(lambda: start_ticks(inner) is None, "what nobody keeps is gone")
    start().wait_for("api.listening")
    with client(port, key) as http:
        wait_until(lambda: http.get("/healthz").status_code == 200, "the API answers")
