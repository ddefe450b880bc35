"""The whole stack as `flotilla up --demo` starts it: real supervisord, Valkey, sandbox, supervisor, API, jobs."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import BOTS, STOP_S, Fleet, until

# A start is four interpreters and a fork server; a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("l") / "h 1%s'q\"") as made:
        made.up()
        yield made


def test_the_greeting_tells_a_newcomer_what_to_do_and_its_commands_work(fleet: Fleet) -> None:
    port = fleet.environment["FLOTILLA_HTTP_PORT"]
    assert fleet.said.startswith(f"Flotilla is starting in {fleet.home} …\n")
    assert "Bots are held by: " in fleet.said
    assert f"{BOTS}/{BOTS} bots READY" in fleet.said
    assert f"http://127.0.0.1:{port}/api/v1" in fleet.said
    assert str(fleet.home / "demo.key") in fleet.said
    command = re.search(r"List the bots +(.+)", fleet.said)
    assert command
    outside = {name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")}
    shown = subprocess.run(command[1], shell=True, env=outside, capture_output=True, text=True, check=True).stdout
    assert "demo-1" in shown


def test_the_demos_bots_are_ready_and_the_fleet_is_well(fleet: Fleet) -> None:
    bots = fleet.bots()
    assert {bots[f"demo-{number}"]["ready"] for number in (1, 2)} == {True}
    assert bots["demo-1"]["tags"] == ["demo"]
    status = fleet.cli("status")
    assert status.returncode == 0, status.stdout


def test_a_second_start_in_the_same_home_is_refused(fleet: Fleet) -> None:
    again = fleet.cli("up", "--demo")
    assert again.returncode == 78
    assert f"already runs in {fleet.home} (supervisord is process {fleet.supervisord()})" in again.stderr


def test_doctor_recognises_its_own_port(fleet: Fleet) -> None:
    result = fleet.cli("doctor")
    assert result.returncode == 0, result.stdout
    assert "is ours" in result.stdout


def test_a_bot_is_stopped_started_restarted_and_shown(fleet: Fleet) -> None:
    before = fleet.bots()["demo-1"]
    assert fleet.cli("bots", "stop", "demo-1").stdout == "demo-1: stopped\n"
    assert fleet.bots()["demo-1"]["pid"] is None
    assert fleet.cli("bots", "start", "demo-1").stdout == "demo-1: ready\n"
    assert fleet.cli("bots", "restart", "demo-1").stdout == "demo-1: ready again\n"
    after = fleet.bots()["demo-1"]
    assert after["generation"] > before["generation"]
    assert "RUNNING" in fleet.cli("bots", "show", "demo-1").stdout


def test_restarting_all_is_an_operation_that_ends_well(fleet: Fleet) -> None:
    result = fleet.cli("bots", "restart", "--tag", "demo", "--yes")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"restarts {BOTS} bots and spends at most {BOTS} session starts" in result.stdout
    operation = re.search(r"Operation (\S+) succeeded", result.stdout)
    assert operation
    assert operation[1] in fleet.cli("ops", "ls").stdout
    assert "demo-2" in fleet.cli("ops", "show", operation[1]).stdout


def test_a_new_supervisor_keeps_the_bots_and_a_new_fork_server_gets_them_all(fleet: Fleet) -> None:
    before, supervisor = fleet.bots(), fleet.pid_of("supervisor")
    restarted = fleet.cli("supervisor", "restart")
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr + fleet.logs()
    assert f"has adopted {BOTS} bots." in restarted.stdout
    assert restarted.stdout.endswith("No bot was restarted.\n")
    assert fleet.pid_of("supervisor") != supervisor
    moved = fleet.cli("supervisor", "rollover", "--yes")
    assert moved.returncode == 0, moved.stdout + moved.stderr + fleet.logs()
    assert f"This moves {BOTS} bots to the code as it is now, at most 1 at once." in moved.stdout
    assert "First demo-1 alone, as a canary; waves of 1, 1." in moved.stdout
    assert re.search(rf"Done: {BOTS} bots run the new code, from fork server \d+\.", moved.stdout)
    assert {
        name: bot["generation"] - before[name]["generation"] for name, bot in fleet.bots().items()
    } == dict.fromkeys(before, 1)
    assert re.search(r"Generation +\d+, from fork server \d+", fleet.cli("bots", "inspect", "demo-1").stdout)


def test_a_bot_is_added_from_stdin_and_removed(fleet: Fleet) -> None:
    port = (fleet.home / "run" / "sandbox.port").read_text().strip()
    key = (fleet.home / "sandbox.key").read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/sandbox/applications",
        data=b'{"name": "extra"}',
        headers={"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        token = json.load(answer)["token"]
    added = fleet.cli("bots", "add", "extra", "--stopped", stdin=token)
    assert added.returncode == 0, added.stderr
    assert fleet.cli("bots", "start", "extra").stdout == "extra: ready\n"
    removed = fleet.cli("bots", "rm", "extra", "--yes")
    assert removed.stdout == "Removed extra.\n", removed.stderr
    assert "extra" not in fleet.bots()
    assert not any(token in path.read_text() for path in fleet.home.glob("logs/**/*.log"))


def test_a_token_discord_refuses_ends_in_fatal_with_a_remedy(fleet: Fleet) -> None:
    made_up = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GAbCdE." + "x" * 38
    fleet.cli("bots", "add", "stranger", "--stopped", stdin=made_up)
    result = fleet.cli("bots", "start", "stranger")
    assert result.returncode == 1
    assert result.stderr.startswith("stranger: token refused. Copy a new token")
    fleet.cli("bots", "rm", "stranger", "--yes")


def test_interrupt_stops_everything_in_time_and_a_second_start_continues(tmp_path: Path) -> None:
    with Fleet(tmp_path / "h") as fleet:
        fleet.up()
        bots, key = fleet.bots(), (fleet.home / "demo.key").read_text()
        assert fleet.process is not None
        begun = time.monotonic()
        fleet.process.send_signal(signal.SIGINT)
        assert fleet.process.wait(STOP_S) == 0
        assert time.monotonic() - begun < STOP_S
        assert fleet.pids() == []
        fleet.up()
        assert {name: bot["id"] for name, bot in fleet.bots().items()} == {
            name: bot["id"] for name, bot in bots.items()
        }
        assert (fleet.home / "demo.key").read_text() == key
        down = fleet.cli("down")
        assert down.stdout == "supervisord is stopping everything …\nStopped.\n", down.stderr
        assert fleet.process.wait(STOP_S) == 0
        assert fleet.pids() == []
        assert fleet.cli("down").stdout == f"Nothing runs in {fleet.home}.\n"


def test_a_program_that_gives_up_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Fleet(tmp_path / "h") as fleet:
        fleet.home.mkdir()
        (fleet.home / "sandbox.secret").write_text("short")
        said = fleet.up(until="says more. Ctrl-C stops everything.")
        assert "sandbox ended with exit code 78 and is not started again." in said
        assert "  | " in said
        fleet.cli("down")
        until(lambda: fleet.pids() == [])
