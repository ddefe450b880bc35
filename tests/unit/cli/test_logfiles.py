"""Reading logs that are cut and replaced meanwhile, on real files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.botlog import mark, old_file, tail
from flotilla.cli.logfiles import MAX_STEP_BYTES, Follower, last_lines
from supervisor.botlogs import BotLogs
from tests.builders import T0, token_of

KEY = ("bot", 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.log"


@pytest.fixture
def follower(path: Path) -> Iterator[Follower]:
    path.write_bytes(b"")
    found = Follower(path, 0)
    yield found
    found.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def raws(path: Path, count: int | None = None, since: bytes | None = None) -> list[bytes]:
    return [line.raw for line in last_lines(path, count, since)[0]]


def test_last_lines_reach_back_into_older_parts(path: Path) -> None:
    old_file(path, 2).write_bytes(b"1\n2\n")
    old_file(path, 1).write_bytes(b"3\n4\n")
    path.write_bytes(b"5\n6\nhalf")
    assert raws(path, 4) == [b"4", b"5", b"6", b"half"]
    assert raws(path) == [b"1", b"2", b"3", b"4", b"5", b"6", b"half"]
    assert raws(path, 0) == []
    lines, end = last_lines(path, 2, None, whole=True)
    assert ([line.raw for line in lines], end) == ([b"5", b"6"], 4)


def test_log_that_was_just_cut_shows_what_came_before(path: Path) -> None:
    old_file(path, 1).write_bytes(b"a\nb\n")
    path.write_bytes(b"")
    assert raws(path, 1) == [b"b"]
    assert tail(path) == "a\nb"


def test_since_keeps_lines_without_a_time_with_the_line_before_them(path: Path) -> None:
    old_file(path, 1).write_bytes(b"2026-01-01 10:00:00,000 INFO old\nprinted\n2026-01-01 10:05:00,000 INFO new\n")
    path.write_bytes(b"  traceback\n2026-01-01 10:06:00,000 INFO newer\n")
    expected = [b"2026-01-01 10:05:00,000 INFO new", b"  traceback", b"2026-01-01 10:06:00,000 INFO newer"]
    assert raws(path, since=b"2026-01-01 10:04:00,000") == expected
    assert raws(path, 1, since=b"2026-01-01 10:04:00,000") == expected[-1:]
    assert raws(path, since=b"2026-01-01 11:00:00,000") == []


def test_tail_is_short_whole_and_without_secrets(path: Path) -> None:
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)) + token_of(1).encode() + b" \0\xff\n")
    shown = tail(path).splitlines()
    assert len(shown) == 20
    assert shown[0] == "line 81"
    assert shown[-1] == "[redacted] \ufffd\ufffd"
    assert tail(path, end=path.read_bytes().index(b"line 50")).splitlines()[-1] == "line 49"
    assert tail(path.with_name("nobody.log")) == ""


def test_follower_gives_whole_lines_as_they_come(path: Path, follower: Follower) -> None:
    append(path, b"one\ntw")
    assert follower.read() == [b"one"]
    assert follower.read() == []
    append(path, b"o\n\n")
    assert follower.read() == [b"two", b""]


def test_follower_loses_nothing_when_the_supervisor_cuts_the_log(path: Path, follower: Follower) -> None:
    logs = BotLogs(2000)
    expected, seen = [], []
    for number in range(200):
        line = b"line %d" % number
        expected.append(line)
        append(path, line + b"\n")
        logs.look({KEY: path}, float(number * 2))
        if number % 3 == 0:
            seen += follower.read()
    seen += follower.read()
    logs.close()
    assert seen == expected


def test_follower_goes_over_to_a_log_that_replaces_another(path: Path, follower: Follower) -> None:
    append(path, b"one\n")
    assert follower.read() == [b"one"]
    append(path, b"two\n")
    path.rename(path.with_name("away"))
    path.write_bytes(b"three\n")
    assert follower.read() == [b"two", b"three"]


def test_follower_waits_for_a_log_that_is_not_there(path: Path) -> None:
    follower = Follower(path, 0)
    assert follower.read() == []
    append(path, b"one\n")
    assert follower.read() == [b"one"]
    follower.close()


def test_follower_shows_the_end_of_a_flood_and_says_what_it_left_out(path: Path, follower: Follower) -> None:
    append(path, b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * (MAX_STEP_BYTES // 100) + b"end\n")
    shown = follower.read()
    assert any(b"bytes are not shown" in line for line in shown)
    assert shown[-1] == b"end"
    os.truncate(path, 0)
    append(path, b"after\n")
    assert follower.read() == [b"after"]


def test_mark_is_put_only_into_a_log_that_is_there(path: Path) -> None:
    assert not mark(path, "hello", T0)
    path.write_bytes(b"")
    assert mark(path, "hello", T0)
    assert path.read_text() == "2026-01-02 03:04:05,000 INFO hello\n"
