"""Reading logs that are cut and replaced meanwhile, on real files."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flotilla.botlog import mark, old_file, stamp, stamped, tail
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


def raws(path: Path, count: int | None = None, since: bytes | None = None, until: bytes | None = None) -> list[bytes]:
    return [line.raw for line in last_lines(path, count, at(since), at(until))[0]]


def at(text: bytes | None) -> float | None:
    found = stamped(text) if text is not None else None
    return found.at_s if found is not None else None


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the time zone that this process lives in."""

    def live_in(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield live_in
    monkeypatch.undo()
    time.tzset()


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


def test_until_leaves_out_what_came_later(path: Path) -> None:
    path.write_bytes(b"2026-01-01 10:05:00,000 INFO a\nprinted\n2026-01-01 10:06:00,000 INFO b\n")
    assert raws(path, until=b"2026-01-01 10:05:30,000") == [b"2026-01-01 10:05:00,000 INFO a", b"printed"]


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Kolkata", "Pacific/Chatham", "UTC"])
def test_lines_say_how_far_from_utc_they_are_and_are_read_alike_everywhere(
    path: Path, zone: Callable[[str], None], name: str
) -> None:
    now = 1_775_000_000.25
    zone(name)
    line = stamp(now).encode() + b" INFO here"
    append(path, line + b"\n")
    for reader in ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Chatham"):
        zone(reader)
        ((found,), _) = last_lines(path, None, now - 1, now + 1)
        assert (found.raw, found.at) == (line, now)


def test_the_hour_that_comes_twice_in_autumn_stays_in_its_order(path: Path, zone: Callable[[str], None]) -> None:
    zone("America/New_York")
    first = 1_793_511_000.0  # 2026-11-01 01:30 there, in summer time; an hour later it is 01:30 again
    for number in range(4):
        append(path, stamp(first + number * 1800).encode() + b" %d\n" % number)
    assert [line.at for line in last_lines(path, None, None)[0]] == [first + number * 1800 for number in range(4)]


def test_lines_of_an_earlier_release_are_local_time_also_in_the_hour_that_comes_twice(
    path: Path, zone: Callable[[str], None]
) -> None:
    zone("America/New_York")
    path.write_bytes(b"2026-11-01 01:50:00,000 a\n2026-11-01 01:10:00,000 b\n2026-11-01 02:10:00,000 c\n")
    os.utime(path, (1_793_600_000, 1_793_600_000))
    first, second, third = (line.at for line in last_lines(path, None, None)[0])
    assert (second - first, third - second) == (20 * 60, 60 * 60)


def test_a_time_that_a_bot_prints_moves_no_line_into_the_future_or_the_past(path: Path) -> None:
    ours = stamp(1_775_000_000).encode() + b" INFO ours"
    path.write_bytes(ours + b"\n2999-12-31 23:59:59,999 x\n1999-01-01 00:00:00,000 y\n2026-99-99 00:00:00,000 z\n")
    os.utime(path, (1_775_000_060, 1_775_000_060))
    assert [line.at for line in last_lines(path, None, None)[0]] == [1_775_000_000, *[1_775_000_060] * 3]


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


def test_follower_reads_on_what_is_still_written_to_a_log_that_was_moved(path: Path, follower: Follower) -> None:
    append(path, b"one\n")
    assert follower.read() == [b"one"]
    moved = path.rename(old_file(path, 1))  # as logrotate does: its name is that of our own older part
    path.write_bytes(b"new\n")
    assert follower.read() == [b"new"]
    append(moved, b"late\n")
    append(path, b"newer\n")
    assert follower.read() == [b"late", b"newer"]


def test_follower_goes_on_after_a_log_was_copied_and_cut_or_removed(path: Path, follower: Follower) -> None:
    append(path, b"one\n")
    assert follower.read() == [b"one"]
    path.write_bytes(b"")
    assert follower.read() == []
    append(path, b"two\n")
    assert follower.read() == [b"two"]
    path.unlink()
    assert follower.read() == []
    append(path, b"three\n")
    assert follower.read() == [b"three"]


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
    assert not mark(path, "hello", T0.timestamp())
    path.write_bytes(b"")
    assert mark(path, "hello", T0.timestamp())
    assert path.read_text() == f"{stamp(T0.timestamp())} INFO hello\n"
