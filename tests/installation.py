"""A whole installation as `flotilla up --demo` starts it: supervisord, Valkey, sandbox, supervisor, API and jobs."""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from flotilla.launch.layout import supervisord_socket
from flotilla.launch.supervisord import Supervisord
from flotilla.settings import Settings

START_S = 300.0
STOP_S = 10.0
BOTS = 2


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Fleet:
    """One home and what runs in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=home)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")} | {
            "FLOTILLA_HOME": str(home),
            "FLOTILLA_HTTP_PORT": str(free_port()),
            "FLOTILLA_DEMO_BOTS": str(BOTS),
            "FLOTILLA_ROLLOVER_WATCH_S": "0.2",
        }
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let go of the last start's process, which has ended."""
        if self.process is not None:
            self.process.wait(STOP_S)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def up(self, until: str = "Ctrl-C stops everything.") -> str:
        """Start the demo; return what it said up to `until`."""
        self.close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flotilla", "up", "--demo"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.said = ""
        deadline = time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while until not in self.said:
                assert time.monotonic() < deadline, self.said + self.logs()
                if selector.select(0.5):
                    chunk = self.process.stdout.read()
                    assert chunk, self.said + self.logs()
                    self.said += chunk
        return self.said

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flotilla", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def bots(self) -> dict[str, Any]:
        return {bot["name"]: bot for bot in json.loads(self.cli("bots", "ls", "--json").stdout)}

    def pids(self) -> list[int]:
        """Every live process of this home, bots included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                # Valkey and the bots overwrite their environment with their title: it works in the home, they log there
                ours = (
                    process.environ().get("FLOTILLA_HOME") == str(self.home)
                    or process.cwd() == f"{self.home}/run"
                    or Path(f"/proc/{process.pid}/fd/1").readlink().is_relative_to(self.home)
                )
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def supervisord(self) -> int:
        pid = Supervisord(supervisord_socket(self.settings)).pid()
        assert pid is not None
        return pid

    def pid_of(self, program: str) -> int:
        rows = Supervisord(supervisord_socket(self.settings)).programs()
        return next(row.pid for row in rows if row.name == program and row.pid)

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in self.home.glob("logs/*.log"))


def until(done: Callable[[], bool], timeout_s: float = STOP_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
