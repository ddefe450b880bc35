"""The ways in which a fleet can be run, as far as they differ in what a hostile bot can do; and what is promised."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flotilla import landlock
from flotilla.botlog import log_file
from flotilla.launch.layout import FOREGROUND, SUPERVISORD_PYTHON, supervisord_socket
from flotilla.launch.supervisord import Supervisord
from flotilla.local_keys import ensure_local_keys
from flotilla.settings import Settings
from tests.ordinary_user import become, folder_for_all, free_uid, give
from tests.services import running_valkey, wait_until
from tests.stack import Stack

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "security.md"
EXTENSIONS: Final = "worker_bot.extensions.core,tests.extensions.attacking"


@dataclass(frozen=True)
class Mode:
    """One column of the table in docs/security.md. as_root: who runs it. environment: settings, without prefix."""

    name: str
    as_root: bool
    environment: dict[str, str] = field(default_factory=dict)


MODES: Final = (
    Mode("root", as_root=True, environment={"bot_users": "auto"}),
    Mode("root, no Landlock", as_root=True, environment={"bot_users": "auto", "bot_landlock": "off"}),
    Mode("root, shared", as_root=True, environment={"bot_users": "shared"}),
    Mode("ordinary", as_root=False, environment={"bot_users": "auto"}),
    Mode("ordinary, no Landlock", as_root=False, environment={"bot_users": "auto", "bot_landlock": "off"}),
)


def promised() -> dict[str, dict[str, str]]:
    """Return the table of docs/security.md: for each mode, what each attack comes to, `yes` or `no`."""
    text = DOCUMENT.read_text()
    rows = [
        [cell.strip(" *`") for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    (at,) = [number for number, row in enumerate(rows) if row[1] == "Name"]
    modes = rows[at][2:]
    table = [row for row in rows[at + 2 :] if len(row) == len(modes) + 2 and set(row[2:]) <= {"yes", "no"}]
    return {mode: {row[1]: row[2 + column] for row in table} for column, mode in enumerate(modes)}


def abi() -> int:
    """Return which version of Landlock this kernel offers, 0: none."""
    try:
        return landlock.abi()
    except OSError:
        return 0


@dataclass
class Fleet:
    """A running fleet of two bots: an attacker and its victim. uid: whose it is."""

    stack: Stack
    uid: int
    victim: str
    supervisor_pid: int

    async def attack(self) -> dict[str, str]:
        """Have the attacker try everything; return what came of it."""
        items = (await self.stack.sandbox("GET", "/applications"))["items"]
        (application,) = [item["id"] for item in items if item["name"] == "bot-0"]
        path = f"/applications/{application}/interactions"
        answer = await self.stack.sandbox("POST", path, command="attack", wait_ms=8000)
        found: dict[str, str] = json.loads(answer["response"]["data"]["content"])
        return found


@asynccontextmanager
async def fleet(mode: Mode) -> AsyncIterator[Fleet]:
    """Yield a fleet in this mode, with real supervisord and Valkey beside it."""
    uid = os.geteuid() if mode.as_root or os.geteuid() != 0 else free_uid()
    # What only Landlock makes harmless cannot be had without: there the code must lie where all may enter.
    before = become(uid) if uid != os.geteuid() or (mode.as_root and "bot_landlock" in mode.environment) else None
    with folder_for_all() as folder:
        home = folder / "home"
        stack = await Stack.create(home, poll_interval_s="0.1", liveness_timeout_s="60", **mode.environment)
        stack.before_exec = before
        try:
            ensure_local_keys(stack.settings)
            for name in ("admin.key", "removable"):
                (home / name).write_text("x")
                (home / name).chmod(0o600)
            code = folder / "code"
            code.mkdir()
            (code / "later.py").write_text("")
            private = folder / "private"
            private.write_text("x")
            private.chmod(0o600)
            give(folder, uid)
            folder.chmod(0o755)
            stack.environment |= {"FLOTILLA_EXTENSIONS": EXTENSIONS, "FLOTILLA_EXTENSIONS_PATH": str(code)}
            await stack.start_sandbox()
            _attacker, victim = await stack.add_bots(2)
            give(home, uid)
            with (
                _valkey(stack.settings, before),
                _supervisord(stack.settings, before) as program_pid,
                _listening(folder / "socket", uid),
            ):
                supervisor = await stack.start_supervisor()
                statuses = await stack.all_ready(2)
                session = stack.settings.session_file(victim)
                kept = stack.settings.bot_folder(victim) / "kept"
                kept.write_text("x")
                kept.chmod(0o600)
                os.chown(kept, kept.parent.stat().st_uid, -1)
                targets = {
                    "home": str(home),
                    "bot_pid": statuses[victim].pid,
                    "supervisor_pid": supervisor.pid,
                    "program_pid": program_pid,
                    "session": str(session),
                    "log": str(log_file(stack.settings.log_dir, "bot-1")),
                    "kept": str(kept),
                    "private": str(private),
                    "valkey": str(stack.settings.valkey_socket),
                    "supervisord": str(supervisord_socket(stack.settings)),
                    "socket": str(folder / "socket"),
                    "code": str(code / "later.py"),
                    "port": int(stack.sandbox_url.rpartition(":")[2]),
                }
                (code / "targets.json").write_text(json.dumps(targets))
                (code / "targets.json").chmod(0o644)
                yield Fleet(stack, uid, victim, supervisor.pid)
        finally:
            await stack.close()


@contextmanager
def _listening(path: Path, uid: int) -> Iterator[None]:
    """Listen as other programs of a user do: for him alone."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        os.chown(path, uid, -1)
        listener.listen()
        yield


@contextmanager
def _valkey(settings: Settings, before: Callable[[], None] | None) -> Iterator[None]:
    with running_valkey(settings.valkey_socket, settings.valkey_conf, before):
        yield


@contextmanager
def _supervisord(settings: Settings, before: Callable[[], None] | None) -> Iterator[int]:
    """Run supervisord as `flotilla up` does, with nothing to look after; yield its pid."""
    conf = settings.home / "alone.conf"
    conf.write_text(
        f"[supervisord]\nnodaemon=true\npidfile={settings.run_dir}/alone.pid\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        f"[unix_http_server]\nfile={supervisord_socket(settings)}\nchmod=0700\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
    )
    conf.chmod(0o644)
    command = [str(SUPERVISORD_PYTHON), "-I", str(FOREGROUND), sys.executable, "-n", "-s", "-c", str(conf)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"FLOTILLA_HOME": str(settings.home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=before,  # noqa: PLW1509 - these tests start no threads before
    )
    try:
        wait_until(lambda: Supervisord(supervisord_socket(settings)).pid() == process.pid, "supervisord answers")
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def applies(name: str, version: int) -> bool:
    """Return whether a row of the table is promised where Landlock has this version; they say since when it holds."""
    text = re.search(rf"^\|[^|]*\| `{re.escape(name)}` \|.*$", DOCUMENT.read_text(), re.MULTILINE)
    since = re.search(r"ABI (\d)", text[0]) if text else None
    return since is None or version >= int(since[1])
