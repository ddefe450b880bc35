"""Somebody ends one of our programs with `kill`, whatever the signal.

An end that supervisord did not ask for is followed by a new start within about a second; only exit code 78, a wrong
setting, and our own stop are final. Bots do not notice, and the new supervisor takes them over.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.launch.layout import supervisord_socket
from flotilla.launch.remains import live_programs
from flotilla.launch.restart import renew_api
from flotilla.launch.supervisord import Supervisord
from flotilla.release import started_by_supervisord
from tests.installation import Fleet, until

PROGRAMS = ("valkey", "sandbox", "supervisor", "api", "jobs")
BACK_S = 60.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("k") / "h") as made:
        made.up()
        yield made


def running(fleet: Fleet) -> dict[str, int]:
    programs = Supervisord(supervisord_socket(fleet.settings)).programs()
    return {row.name: row.pid for row in programs if row.pid and row.state == "RUNNING" and row.name in PROGRAMS}


def processes(fleet: Fleet) -> dict[str, tuple[int, int]]:
    return {name: (bot["pid"], bot["generation"]) for name, bot in fleet.bots().items()}


def adoptions(fleet: Fleet) -> int:
    return Path(fleet.home / "logs" / "supervisor.log").read_text().count("supervisor.adoption_complete")


def test_a_supervisor_that_somebody_ends_comes_back_to_bots_that_ran_on(fleet: Fleet) -> None:
    before = processes(fleet)
    seen = adoptions(fleet)
    os.kill(running(fleet)["supervisor"], signal.SIGTERM)
    until(lambda: adoptions(fleet) > seen, BACK_S)
    assert processes(fleet) == before


def test_an_api_that_is_renewed_by_an_upgrade_refuses_nobody(fleet: Fleet) -> None:
    """It was stopped and started, and its port was anybody's for a second."""
    outer, inner = running(fleet)["api"], live_programs(fleet.settings)["api"]
    port = int(fleet.environment["FLOTILLA_HTTP_PORT"])
    renew_api(fleet.settings, Supervisord(supervisord_socket(fleet.settings)))
    began = time.monotonic()
    while live_programs(fleet.settings).get("api") in {inner, None}:
        assert time.monotonic() - began < BACK_S
        socket.create_connection(("127.0.0.1", port), BACK_S).close()
    assert running(fleet)["api"] == outer
    assert fleet.cli("bots", "ls").returncode == 0


@pytest.mark.nightly
def test_a_supervisord_that_somebody_kills_has_a_successor_with_the_same_bots(tmp_path: Path) -> None:
    with Fleet(tmp_path / "h") as fleet:
        fleet.up()
        bots, programs = processes(fleet), running(fleet)
        until(
            lambda: all(started_by_supervisord(fleet.settings, name) for name in ("supervisor", "api", "jobs")), BACK_S
        )
        os.kill(fleet.supervisord(), signal.SIGKILL)
        seen = adoptions(fleet)
        assert "supervisord of an earlier start is gone" in fleet.up()
        until(lambda: adoptions(fleet) > seen, BACK_S)
        assert processes(fleet) == bots
        assert not set(running(fleet).values()) & set(programs.values())

        os.kill(fleet.supervisord(), signal.SIGKILL)
        down = fleet.cli("down")
        assert down.returncode == 0, down.stdout + down.stderr
        assert "sent SIGINT to the supervisor it left" in down.stdout
        assert fleet.pids() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_programs_that_somebody_ends_come_back(fleet: Fleet, number: signal.Signals) -> None:
    before = running(fleet)
    assert set(before) == set(PROGRAMS)
    if number is signal.SIGHUP:
        del before["valkey"]  # which does not mind
    for pid in before.values():
        os.kill(pid, number)

    def back() -> bool:
        now = running(fleet)
        return set(now) == set(PROGRAMS) and all(now[name] != pid for name, pid in before.items())

    until(back, BACK_S)
