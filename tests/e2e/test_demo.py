"""The whole of it, as a newcomer meets it: `flotilla up --demo` in one terminal, the API and the CLI in another."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.stack import alive, until

BOTS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Demo:
    """A running demo in a home of its own."""

    def __init__(self, home: Path, port: int, bots: int = BOTS) -> None:
        self.home = home
        self.port = port
        self.output = home.with_name(f"{home.name}-{port}.out")
        self.environment = os.environ | {
            "FLOTILLA_HOME": str(home),
            "FLOTILLA_HTTP_PORT": str(port),
            "FLOTILLA_DEMO_BOTS": str(bots),
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.output.open("ab") as file:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "flotilla", "up", "--demo", env=self.environment, stdout=file, stderr=file
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    async def up(self) -> None:
        """Start and wait for the words that tell that all bots are READY."""
        seen = self.text().count("Flotilla is up") if self.output.exists() else 0
        await self.start()
        await until(lambda: self.text().count("Flotilla is up") > seen, "the demo is up", 150)

    def processes(self) -> list[psutil.Process]:
        """Return every live process of this home; workers and Valkey overwrite their environment, but stay in it."""
        found = []
        for process in psutil.process_iter(["pid"]):
            try:
                ours = process.environ().get("FLOTILLA_HOME") == str(self.home)
                places = (process.cwd(), str(Path(f"/proc/{process.pid}/fd/1").readlink()))
                if (ours or any(Path(p).is_relative_to(self.home) for p in places)) and alive(process.pid):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return [process for process in found if process.pid != os.getpid()]

    async def interrupt(self) -> float:
        """Press Ctrl-C; return the seconds until supervisord ended."""
        assert self.process is not None
        began = asyncio.get_running_loop().time()
        self.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(self.process.wait(), 30)
        return asyncio.get_running_loop().time() - began

    async def clear(self) -> None:
        """End whatever a failed test left."""
        if self.process is not None and self.process.returncode is None:
            await self.interrupt()
        for process in self.processes():
            process.kill()

    async def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        key = (self.home / "demo.key").read_text().strip()
        async with httpx.AsyncClient(timeout=15) as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return await client.request(method, url, headers={"Authorization": f"Bearer {key}"}, **options)

    async def bots(self) -> dict[str, dict[str, Any]]:
        """Return all bots by name."""
        answer = await self.api("GET", "/api/v1/bots?limit=200")
        return {bot["name"]: bot for bot in answer.json()["items"]}

    async def all_ready(self, count: int = BOTS) -> dict[str, dict[str, Any]]:
        async def ready() -> dict[str, dict[str, Any]] | None:
            bots = await self.bots()
            return bots if sum(bot["ready"] for bot in bots.values()) == count else None

        found: dict[str, dict[str, Any]] = await until(ready, f"{count} bots are READY", 60)
        return found

    async def cli(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """Run `flotilla …`; return its exit code and all it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "flotilla",
            *arguments,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 90)
        assert process.returncode is not None
        return process.returncode, output.decode()


pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short name: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="flt-") as name:
        yield Path(name)


@pytest.fixture
async def demo(folder: Path) -> AsyncIterator[Demo]:
    demo = Demo(folder / "home", free_port())
    try:
        yield demo
    finally:
        await demo.clear()


async def test_the_readme_is_true(demo: Demo) -> None:
    """One long walk, since a fleet takes seconds to start: look, kill, restart all, kill the supervisor, stop."""
    await demo.up()
    assert f"{BOTS}/{BOTS} bots READY" in demo.text()
    key_file = demo.home / "demo.key"
    assert str(key_file) in demo.text()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600

    before = await demo.all_ready()
    code, listing = await demo.cli("bots", "ls")
    assert code == 0
    assert all(name in listing for name in before)

    victim = before["demo-1"]
    os.kill(victim["pid"], signal.SIGKILL)

    async def returned() -> bool:
        bot = (await demo.bots())["demo-1"]
        return bool(bot["ready"] and bot["generation"] == victim["generation"] + 1)

    await until(returned, "the killed worker is READY again", 60)

    body = {"kind": "restart", "selector": {"all": True}}
    preview = (await demo.api("POST", "/api/v1/operations", json=body | {"dry_run": True})).json()
    assert (preview["total"], preview["session_starts"]) == (BOTS, BOTS)
    answer = await demo.api("POST", "/api/v1/operations", json=body)
    assert answer.status_code == 202
    operation = answer.json()["id"]

    async def finished() -> dict[str, Any] | None:
        state: dict[str, Any] = (await demo.api("GET", f"/api/v1/operations/{operation}")).json()
        return state if state["state"] not in {"pending", "running"} else None

    state = await until(finished, "the operation finished", 90)
    assert (state["state"], state["counts"]["succeeded"], state["progress"]) == ("succeeded", BOTS, 1.0)
    restarted = await demo.all_ready()
    assert all(restarted[name]["pid"] != before[name]["pid"] for name in before)

    (supervisor,) = [p for p in demo.processes() if p.cmdline()[-2:] == ["-m", "supervisor"]]
    supervisor.kill()

    async def adopted() -> bool:
        summary = (await demo.api("GET", "/api/v1/status")).json()
        return bool(summary["supervisors"][0]["pid"] != supervisor.pid)

    await until(adopted, "a new supervisor took over", 30)
    after = await demo.all_ready()
    assert {name: bot["pid"] for name, bot in after.items()} == {name: bot["pid"] for name, bot in restarted.items()}

    assert demo.process is not None
    assert {psutil.Process(bot["pid"]).ppid() for bot in after.values()} == {demo.process.pid}, "who reaps the orphans"

    assert await demo.interrupt() < 30
    assert demo.processes() == []
    assert not any(alive(bot["pid"]) for bot in after.values())

    await demo.up()
    again = await demo.all_ready()
    assert {name: bot["id"] for name, bot in again.items()} == {name: bot["id"] for name, bot in before.items()}
    # The sandbox was restarted with everything else, and knows what it knew.
    code, said = await demo.cli("sandbox", "use", "demo-1", "/ping")
    assert code == 0, said
    assert "demo-1 answered" in said


@pytest.mark.nightly
async def test_two_demos_run_side_by_side(demo: Demo, folder: Path) -> None:
    other = Demo(folder / "other home", free_port(), bots=1)
    try:
        await asyncio.gather(demo.up(), other.up())
        assert len(await demo.all_ready()) == BOTS
        assert len(await other.all_ready(1)) == 1
        await demo.interrupt()
        assert len(await other.all_ready(1)) == 1
    finally:
        await other.clear()


async def test_bots_are_added_stopped_started_and_removed_from_the_command_line(demo: Demo) -> None:
    await demo.up()
    sandbox = (demo.home / "run" / "sandbox.port").read_text().strip()
    key = (demo.home / "sandbox.key").read_text().strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as client:
        answer = await client.post(f"http://127.0.0.1:{sandbox}/sandbox/applications", json={"name": "extra"})
    token = answer.json()["token"]

    assert (await demo.cli("bots", "add", "extra", stdin=f"{token}\n"))[0] == 0
    await demo.all_ready(BOTS + 1)
    assert (await demo.cli("bots", "stop", "extra"))[0] == 0
    assert (await demo.bots())["extra"]["state"] == "STOPPED"
    assert (await demo.cli("bots", "start", "extra"))[0] == 0
    assert (await demo.bots())["extra"]["ready"]
    assert (await demo.cli("bots", "rm", "extra", "--yes"))[0] == 0
    assert "extra" not in await demo.bots()

    code, output = await demo.cli("bots", "add", "wrong", stdin="this is no token\n")
    assert code == 1
    assert "not a Discord bot token" in output
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    await demo.cli("bots", "add", "forged", stdin=f"{forged}\n")

    async def fatal() -> bool:
        return bool((await demo.bots())["forged"]["state"] == "FATAL")

    await until(fatal, "the forged bot is FATAL")
    assert (await demo.bots())["forged"]["reason"] == "token refused"
    code, output = await demo.cli("bots", "ls")
    assert "token refused" in output
    for path in demo.home.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path.name


async def test_restart_of_our_supervisor_by_supervisord_leaves_the_bots_alone(demo: Demo) -> None:
    await demo.up()
    before = await demo.all_ready()
    supervisorctl = shutil.which("supervisorctl", path=str(Path(__file__).parents[2] / ".venv-supervisord" / "bin"))
    assert supervisorctl
    process = await asyncio.create_subprocess_exec(
        supervisorctl,
        *("-s", f"unix://{demo.home / 'run' / 'supervisord.sock'}"),
        *("-u", "flotilla", "-p", (demo.home / "supervisord.key").read_text()),
        "restart",
        "fleet:supervisor",
        stdout=asyncio.subprocess.PIPE,
    )
    await asyncio.wait_for(process.wait(), 30)
    after = await demo.all_ready()
    assert {name: bot["pid"] for name, bot in after.items()} == {name: bot["pid"] for name, bot in before.items()}


async def test_fleet_survives_the_loss_of_valkey(demo: Demo) -> None:
    await demo.up()
    before = await demo.all_ready()
    (valkey,) = [p for p in demo.processes() if "valkey-server" in " ".join(p.cmdline())]
    valkey.kill()
    body = {"kind": "restart", "selector": {"names": ["demo-2"]}}
    operation = (await demo.api("POST", "/api/v1/operations", json=body)).json()["id"]

    async def finished() -> bool:
        state = (await demo.api("GET", f"/api/v1/operations/{operation}")).json()
        return bool(state["state"] == "succeeded")

    await until(finished, "the operation succeeded without the Valkey it began with", 60)
    after = await demo.all_ready()
    assert after["demo-1"]["pid"] == before["demo-1"]["pid"]


async def test_port_that_is_taken_is_told_in_one_sentence(demo: Demo) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", demo.port))
        holder.listen()
        code, output = await demo.cli("up", "--demo")
    assert code == 78
    assert "FLOTILLA_HTTP_PORT" in output
    assert "Traceback" not in output
    assert demo.processes() == []
