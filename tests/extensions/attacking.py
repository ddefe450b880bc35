"""Code of a bot that tries all that docs/security.md says it cannot do, and what it says it can. Nothing is harmed.

What it goes for stands in `targets.json`, in a folder of FLOTILLA_EXTENSIONS_PATH.
"""

import base64
import ctypes
import errno
import http.client
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lightbulb

loader = lightbulb.Loader()
PTRACE_ATTACH: Final = 16
REFUSED: Final = {errno.EACCES, errno.EPERM}
TIMEOUT_S: Final = 5.0


class RefusedError(Exception):
    """What was asked does not do it without the password."""


def _targets() -> dict[str, Any]:
    found = next(Path(folder) / "targets.json" for folder in sys.path if (Path(folder) / "targets.json").exists())
    targets: dict[str, Any] = json.loads(found.read_text())
    return targets


def _change(path: str) -> None:
    with Path(path).open("r+b") as file:
        file.write(file.read(0))


def _trace(pid: int) -> None:
    with Path(f"/proc/{pid}/mem").open("rb"):
        pass
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _limit(pid: int) -> None:
    before = resource.prlimit(pid, resource.RLIMIT_CORE)
    resource.prlimit(pid, resource.RLIMIT_CORE, before)


def _password(path: str) -> str:
    """Return what lies there, if it may be read: whoever can reads it first."""
    try:
        return Path(path).read_text().split()[-1]
    except PermissionError:
        return "a guess"


def _ask_valkey(path: str, conf: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(path)
        sock.sendall(f"AUTH {_password(conf)}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            answer += sock.recv(4096)
    if b"+PONG" not in answer:
        raise RefusedError(answer)


def _ask_supervisord(path: str, key: str) -> None:
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(TIMEOUT_S)
        connection.sock.connect(path)
        proof = base64.b64encode(f"flotilla:{_password(key)}".encode()).decode()
        connection.request("GET", "/", headers={"authorization": f"Basic {proof}"})
        if connection.getresponse().status == http.HTTPStatus.UNAUTHORIZED:
            raise RefusedError
    finally:
        connection.close()


def _listen() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))


def _connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S):
        pass


def _reach(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(path)


def _keep() -> None:
    file = Path.home() / "kept"
    file.write_text("kept")
    file.unlink()


def attacks() -> dict[str, Callable[[], object]]:
    """Return what is tried, by the names that it has in docs/security.md."""
    at = _targets()
    home, bot, supervisor = Path(at["home"]), int(at["bot_pid"]), int(at["supervisor_pid"])
    return {
        "keys": (home / "secrets.key").read_bytes,
        "database": (home / "flotilla.db").read_bytes,
        "admin key": (home / "admin.key").read_bytes,
        "sessions": Path(at["session"]).read_bytes,
        "change sessions": lambda: _change(at["session"]),
        "logs": Path(at["log"]).read_bytes,
        "kept files": Path(at["kept"]).read_bytes,
        "look around": lambda: list(home.iterdir()),
        "user's files": Path(at["private"]).read_bytes,
        "memory": lambda: _trace(bot),
        "environment": Path(f"/proc/{at['program_pid']}/environ").read_bytes,
        "end bots": lambda: os.kill(bot, 0),
        "end programs": lambda: os.kill(supervisor, 0),
        "limits": lambda: _limit(bot),
        "scheduling": lambda: os.setpriority(os.PRIO_PROCESS, supervisor, os.getpriority(os.PRIO_PROCESS, supervisor)),
        "valkey": lambda: _ask_valkey(at["valkey"], str(home / "valkey.conf")),
        "supervisord": lambda: _ask_supervisord(at["supervisord"], str(home / "supervisord.key")),
        "sockets": lambda: _reach(at["socket"]),
        "code": lambda: _change(at["code"]),
        "remove": (home / "removable").unlink,
        "listen": _listen,
        "modes": lambda: Path(at["session"]).chmod(0o600),
        "connect": lambda: _connect(int(at["port"])),
        "keep": _keep,
    }


def outcome(act: Callable[[], object]) -> str:
    """Return whether it can be done; anything but a refusal is told as it is."""
    try:
        act()
    except RefusedError:
        return "no"
    except OSError as fault:
        return "no" if fault.errno in REFUSED else repr(fault)
    return "yes"


@loader.command
class Attack(lightbulb.SlashCommand, name="attack", description="Try everything."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond(json.dumps({name: outcome(act) for name, act in attacks().items()}))
