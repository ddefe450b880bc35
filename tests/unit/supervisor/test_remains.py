"""Whether a process that has just ended may have left something of a bot's: real processes that nobody has reaped."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flotilla import processes
from flotilla.mark import mark_of, worker_mark, worker_number
from supervisor import remains
from supervisor.remains import Ended, Living, look
from tests.services import wait_until

HOME = mark_of(Path("/srv/fleet"))
LIVING = Living(home=HOME)
PARENT = 1 << 30
"""A pid that no process has."""

Start = Callable[..., int]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what starts a process with a mark, waits until it has ended and is not reaped, and returns its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: tuple[int, int] | None = None, *, own_session: bool = True) -> int:
        code = f"from flotilla.mark import wear_worker_mark; wear_worker_mark({mark})" if mark else ""
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=own_session)
        started.append(process)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wait_until(lambda: b") Z " in Path(f"/proc/{process.pid}/stat").read_bytes(), "it has ended")
        return process.pid

    monkeypatch.setattr(processes, "FRESH_TICKS", 1 << 40)
    monkeypatch.setattr(remains, "pids", lambda: [process.pid for process in started])
    yield start
    for process in started:
        process.wait()


def worker(bot_id: str = "bot", *, pid: int = PARENT, **more: int) -> Ended:
    return Ended(bot_id, pid, 0, 0, frozenset(), worker_number(bot_id, 1), **more)  # type: ignore[arg-type]


def test_a_stranger_that_has_just_ended_leaves_no_doubt(ended: Start) -> None:
    ended()
    ended(worker_mark(mark_of(Path("/srv/another")), "bot", 1))
    assert not look([worker()], LIVING).unclear
    assert not look([worker()], LIVING, of_nobody=True).unclear


def test_one_of_another_bot_leaves_none_unless_those_of_nobody_are_looked_for(ended: Start) -> None:
    ended(worker_mark(HOME, "another", 1))
    assert not look([worker()], LIVING).unclear
    assert look([worker()], LIVING, of_nobody=True).unclear


def test_one_of_the_bot_may_have_begotten_others(ended: Start) -> None:
    ended(worker_mark(HOME, "bot", 1))
    assert look([worker()], LIVING).unclear


def test_so_may_one_that_spoiled_its_mark(ended: Start) -> None:
    first, second = worker_mark(HOME, "bot", 1)
    ended((first - (1 << 60), second))
    assert look([worker()], LIVING).unclear


def test_so_may_one_in_the_session_of_a_worker_without_a_mark(ended: Start) -> None:
    ended(own_session=False)
    assert look([worker(pid=os.getsid(0))], LIVING).unclear


def test_the_worker_itself_leaves_no_doubt(ended: Start) -> None:
    assert not look([worker(pid=ended(worker_mark(HOME, "bot", 1)))], LIVING).unclear


def test_so_may_one_of_the_user_that_is_the_bots_alone(ended: Start) -> None:
    ended()
    assert look([worker(own_uid=os.getuid())], LIVING).unclear


def test_one_that_is_gone_for_good_may_have_been_anybodys(ended: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remains, "pids", lambda: [PARENT])
    assert look([worker(pid=PARENT + 1)], LIVING).unclear
