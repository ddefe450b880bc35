"""The API's outer process with inner ones that misbehave. `test_process.py` has it with the API itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flotilla.processes import start_ticks
from tests.services import wait_until

OUTER = """
import sys
import api.keeper as keeper
keeper.PAUSE_S, keeper.STOP_S = map(float, sys.argv[1:3])
sys.exit(keeper.Keeper([sys.executable, "-c", *sys.argv[3:]], {}).run())
"""
INNER = """
import os, signal, socket, sys, time
log, outer, channel, *held = sys.argv[1:]
def say(what):
    with open(log, "a") as file:
        file.write(f"{what} {os.getpid()} {outer} {' '.join(held)}\\n")
def keep():
    listener = socket.create_server(("127.0.0.1", 0))
    keeper = socket.socket(fileno=int(channel))
    socket.send_fds(keeper, [b"tcp"], [listener.fileno()])
"""
Outer = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def outer(log: Path) -> Iterator[Outer]:
    """Start an outer process whose inner ones run `code`; it gets what INNER has."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(code: str, pause_s: float = 0.05, stop_s: float = 30) -> "subprocess.Popen[bytes]":
        words = [str(pause_s), str(stop_s), INNER + code, str(log)]
        process = subprocess.Popen([sys.executable, "-c", OUTER, *words])
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def runs(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


@pytest.mark.parametrize("code", [0, 1, 69, 78])
def test_what_never_held_a_socket_ends_it_with_its_own_code(outer: Outer, log: Path, code: int) -> None:
    assert outer(f"say('run'); sys.exit({code})").wait(30) == code
    assert len(runs(log)) == 1


@pytest.mark.parametrize("code", [0, 78])
def test_an_end_in_order_and_a_wrong_setting_are_final(outer: Outer, log: Path, code: int) -> None:
    assert outer(f"keep(); say('run'); sys.exit({code})").wait(30) == code
    assert len(runs(log)) == 1


def test_what_crashes_is_started_again_with_the_same_socket_but_not_at_once(outer: Outer, log: Path) -> None:
    began = time.monotonic()
    process = outer("held or keep(); say('run'); os.kill(os.getpid(), 9)", pause_s=0.5)
    wait_until(lambda: len(runs(log)) >= 4, "it is started again and again")
    assert time.monotonic() - began >= 3 * 0.5
    rows = runs(log)
    assert len({row[1] for row in rows}) == len(rows)
    assert {row[2] for row in rows} == {str(process.pid)}
    assert [len(row) for row in rows[:4]] == [3, 4, 4, 4]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in {0, 128 + 9}


def test_what_does_not_heed_a_stop_is_killed(outer: Outer, log: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say('run'); time.sleep(600)"
    process = outer(code, stop_s=0.3)
    wait_until(lambda: runs(log) != [], "it runs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + 9
    assert start_ticks(int(runs(log)[0][1])) is None


def test_what_nobody_could_end_any_more_is_not_started_again(log: Path) -> None:
    """supervisord was killed, and its programs live on until `flotilla up` or `down` ends them."""
    code = "held or keep(); say('run'); time.sleep(600)"
    starter = (
        "import pathlib, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {OUTER!r}, *sys.argv[1:]])\n"
        "while not pathlib.Path(sys.argv[-1]).read_text():\n    time.sleep(0.02)\n"
    )
    subprocess.run([sys.executable, "-c", starter, "0.05", "30", INNER + code, str(log)], check=True, timeout=60)
    _, inner, pid = runs(log)[0]
    os.kill(int(inner), signal.SIGKILL)
    wait_until(lambda: start_ticks(int(pid)) is None, "the outer process has ended, too")
    assert len(runs(log)) == 1
