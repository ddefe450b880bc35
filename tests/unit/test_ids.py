"""Ids of rows."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from flotilla.ids import first_id, new_id

ROOT = Path(__file__).parents[2]
PROGRAMS = ("flotilla", "supervisor", "worker_bot", "api", "jobs")
T0 = datetime(2026, 10, 1, tzinfo=UTC)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - they get it


def test_id_of_an_older_time_does_not_undo_the_order_of_new_ones() -> None:
    made = []
    for number in range(1000):
        made.append(new_id(T0))
        new_id(T0 - timedelta(days=number))
        new_id()
    assert all(before < after for before, after in pairwise(made))


@given(st.lists(times, min_size=2, max_size=20))
def test_ids_sort_by_their_millisecond_and_then_by_when_they_were_made(made_for: list[datetime]) -> None:
    made = [(ULID.from_str(row_id).milliseconds, number, row_id) for number, row_id in enumerate(map(new_id, made_for))]
    assert [row_id for *_, row_id in sorted(made)] == sorted(row_id for *_, row_id in made)
    assert len({row_id for *_, row_id in made}) == len(made)


@given(times)
def test_bound_is_at_most_every_id_of_its_millisecond_and_above_all_before(at: datetime) -> None:
    row_id, bound = new_id(at), first_id(at)
    assert bound <= row_id < first_id(at + timedelta(milliseconds=1))
    # Not by its `datetime`, which is a float of seconds, and off by a millisecond in far years.
    assert ULID.from_str(row_id).milliseconds == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert ULID.from_str(bound).datetime == ULID.from_str(row_id).datetime


def test_bound_before_1970_is_the_first_of_all() -> None:
    assert first_id(datetime(1, 1, 1, tzinfo=UTC)) == "0" * 26


def test_id_without_a_time_is_of_now() -> None:
    before, row_id, after = datetime.now(UTC), new_id(), datetime.now(UTC)
    assert first_id(before) < row_id < first_id(after + timedelta(milliseconds=1))


def test_threads_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_id(T0), range(4000)))
    assert len(set(made)) == 4000


FORKING = """
import os
from datetime import UTC, datetime
from flotilla.ids import new_id
at = datetime(2026, 10, 1, tzinfo=UTC)
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os.write(1, f"{new_id(at)}\\n".encode())
        os._exit(0)
    os.waitpid(pid, 0)
os.write(1, f"{new_id(at)}\\n".encode())
"""


def test_processes_that_were_forked_make_ids_of_their_own() -> None:
    told = subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, text=True, check=True)
    made = told.stdout.split()
    assert [len(each) for each in made] == [26] * 3
    assert len({each[10:20] for each in made}) == 3  # not neighbours either


def _makes_its_own(call: ast.Call) -> bool:
    """`ULID()`, `ULID.from_datetime(…)` and their like, which share python-ulid's one memory."""
    match call.func:
        case ast.Name("ULID"):
            return not call.args
        case ast.Attribute(ast.Name("ulid"), "ULID"):
            return not call.args
        case ast.Attribute(_, "from_datetime" | "from_timestamp" | "ULIDGenerator"):
            return True
    return False


def test_ids_are_made_in_one_place() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for program in PROGRAMS
        for path in (ROOT / program).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _makes_its_own(node)
    }
    assert found == set(), "new_id and first_id of flotilla.ids are for that"


@pytest.mark.parametrize(
    ("line", "forbidden"),
    [("ULID()", True), ("ulid.ULID()", True), ("ULID.from_datetime(at)", True), ("ULID(moved)", False)],
)
def test_what_makes_an_id_is_known(line: str, forbidden: bool) -> None:
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    assert _makes_its_own(call) is forbidden
