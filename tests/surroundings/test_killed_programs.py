"""Somebody ends one of our programs with `kill`, whatever the signal.

An end that supervisord did not ask for is followed by a new start within about a second; only exit code 78, a wrong
setting, and our own stop are final. Bots do not notice, and the new supervisor takes them over.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.launch.layout import supervisord_socket
from flotilla.launch.supervisord import Supervisord
from tests.installation import Fleet, until

PROGRAMS = ("valkey", "sandbox", "supervisor", "api", "jobs")
BACK_S = 60.0
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("k") / "h") as made:
        made.up()
        yield made


def running(fleet: Fleet) -> dict[str, int]:
    programs = Supervisord(supervisord_socket(fleet.settings)).programs()
    return {row.name: row.pid for row in programs if row.pid and row.state == "RUNNING" and row.name in PROGRAMS}


def adoptions(fleet: Fleet) -> int:
    return Path(fleet.home / "logs" / "supervisor.log").read_text().count("supervisor.adoption_complete")


def test_a_supervisor_that_somebody_ends_comes_back_to_bots_that_ran_on(fleet: Fleet) -> None:
    before = {name: (bot["pid"], bot["generation"]) for name, bot in fleet.bots().items()}
    seen = adoptions(fleet)
    os.kill(running(fleet)["supervisor"], signal.SIGTERM)
    until(lambda: adoptions(fleet) > seen, BACK_S)
    assert {name: (bot["pid"], bot["generation"]) for name, bot in fleet.bots().items()} == before


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
