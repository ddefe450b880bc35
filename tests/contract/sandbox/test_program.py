"""`python -m sandbox` as a process: its one line, its exit codes, its stop."""

import asyncio
import signal
import socket
import stat
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    processes: list[Process] = []

    async def run(*arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", *arguments, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[3]
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def url_and_key_of(process: Process) -> tuple[str, str]:
    """What it prints: where it listens, and the key of control calls or the file that holds it."""
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("sandbox listening on http://127.0.0.1:")
    told = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert told.startswith("key of control calls: ")
    return line.split()[-1], told.split()[-1]


def private(file: Path) -> str:
    """What a file says that is its owner's alone."""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file.read_text().strip()


async def register(http: aiohttp.ClientSession, url: str, key: str, name: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    async with http.post(f"{url}/sandbox/applications", json={"name": name}, headers=headers) as response:
        return str((await response.json())["token"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it_within_two_seconds_with_a_hundred_bots_connected(start: Start, number: int) -> None:
    process = await start("--port", "0")
    url, key = await url_and_key_of(process)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        sockets = []
        for index in range(100):
            token = await register(http, url, key, f"bot-{index}")
            websocket = await http.ws_connect(f"{url}/gateway?v=10&encoding=json", autoclose=False)
            await websocket.send_json({"op": 2, "d": {"token": token, "intents": 0, "properties": {}}})
            sockets.append(websocket)
        for websocket in sockets:
            await websocket.receive_json()
            assert (await websocket.receive_json(timeout=5))["t"] == "READY"
        began = time.monotonic()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert time.monotonic() - began < 2
        for websocket in sockets:
            await websocket.close()
    assert process.stderr is not None
    assert await process.stderr.read() == b""


async def test_restarted_sandbox_knows_the_tokens_of_its_secret_file(start: Start, tmp_path: Path) -> None:
    secret = str(tmp_path / "sandbox.secret")
    first = await start("--port", "0", "--secret-file", secret)
    async with aiohttp.ClientSession() as http:
        url, file = await url_and_key_of(first)
        assert file == str(tmp_path / "sandbox.key")
        token = await register(http, url, private(Path(file)), "alpha")
        first.terminate()
        await first.wait()
        url, _ = await url_and_key_of(await start("--port", "0", "--secret-file", secret))
        async with http.get(f"{url}/api/v10/users/@me", headers={"Authorization": f"Bot {token}"}) as response:
            assert (response.status, (await response.json())["username"][:4]) == (200, "app-")


async def test_port_that_is_taken_is_one_sentence_and_exit_78(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start("--port", str(taken.getsockname()[1]))
        _, stderr = await process.communicate()
    assert process.returncode == 78
    assert stderr.startswith(b"sandbox: cannot listen on 127.0.0.1:")
    assert stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "x"],
        [],
        ["--port", "0", "--resume-window-s", "-1"],
        ["--port", "0", "--heartbeat-interval-ms", "0"],
        ["--port", "0", "--initial-response-s", "soon"],
        ["--port", "0", "--secret-file", "/"],
        ["--port", "0", "--secret-file", "/nowhere/sandbox.key"],
        ["--port", "0", "--host", "192.0.2.1"],
    ],
)
async def test_bad_option_is_one_sentence_and_exit_78(start: Start, arguments: list[str]) -> None:
    process = await start(*arguments)
    _, stderr = await process.communicate()
    assert process.returncode == 78
    assert stderr.startswith(b"sandbox: ")
    assert stderr.count(b"\n") == 1
