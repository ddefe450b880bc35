"""Marks, in processes of their own: most of it cannot be taken back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla.mark import NO_MARK, Worn, mark_of, worker_mark, worker_number, worn_by, worn_mark

HOME = mark_of(Path("/some/home"))
HARNESS = """
import os, resource, sys
from flotilla.mark import wear_worker_mark, worn_by
def lower(locks, resident_set):
    for kind, less in ((10, locks), (resource.RLIMIT_RSS, resident_set)):
        number = resource.getrlimit(kind)[1] - less
        resource.setrlimit(kind, (number, number))
wear_worker_mark(({0}, {1}))
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65533), os.setuid(65533)
{2}
print(worn_by(os.getpid()), flush=True)
"""


def worn_after(code: str) -> str:
    mark = worker_mark(HOME, "bot", 7)
    command = [sys.executable, "-c", HARNESS.format(*mark, code)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_a_worker_and_what_it_starts_tell_their_home_and_which_worker_it_is() -> None:
    expected = repr(Worn(HOME, worker_number("bot", 7)))
    assert worn_after("") == expected
    assert worn_after("if os.fork(): os.wait(); os._exit(0)\nos.setsid()\nos.environ.clear()") == expected


def test_incarnations_bots_and_homes_have_marks_of_their_own() -> None:
    other = mark_of(Path("/other/home"))
    marks = {worker_mark(home, bot, at) for home in (HOME, other) for bot in ("a", "b") for at in (1, 2)}
    assert len(marks) == 8
    assert len({sum(mark) for mark in marks}) == 2


@pytest.mark.parametrize("lowered", ["lower(1, 0)", "lower(0, 1)", "lower(1, 1)", "lower(10**6, 5)"])
def test_a_mark_that_is_lowered_is_of_this_home_no_more(lowered: str) -> None:
    """A limit can only be lowered, and of one home all pairs have one sum: no other worker can be made of it."""
    assert f"home={HOME}" not in worn_after(lowered)


def test_a_mark_that_is_spoiled_shows() -> None:
    assert worn_after("lower(2**60, 2**60)") == repr(Worn(spoiled=True))
    assert worn_after("lower(2**60, 0)") == repr(Worn(spoiled=True))


def test_a_mark_is_never_raised_again() -> None:
    raising = "try:\n    lower(-1, 1)\nexcept (OSError, ValueError):\n    print('refused', end=' ')"
    assert worn_after(raising).startswith("refused ")


def test_whoever_has_no_mark_or_is_gone_wears_none() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert worn_by(process.pid).worker is None
        process.kill()
        process.wait()
        assert worn_by(process.pid) == NO_MARK
    assert worn_mark(os.getpid()) != HOME
