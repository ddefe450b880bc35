"""The logs of bots stay within their bound, on real files."""

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.botlog import old_file, parts
from supervisor.botlogs import BLOCK_BYTES, MOVED_LOOKS, QUIET_LOOKS, RESERVED_BYTES, ROTATE_EVERY_S, BotLogs

TOTAL = 4 * 1024 * 1024
PART = TOTAL // 5
KEY = ("bot", 1)


class Log:
    """A log with its writer, who holds it open as a worker does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.logs = BotLogs(TOTAL)
        self.now = 0.0

    def write(self, size: int, mark: str = "x") -> None:
        line = (mark * 99 + "\n").encode()
        os.write(self.descriptor, line * (size // 100))

    def look(self, *, after_s: float = ROTATE_EVERY_S) -> bool:
        self.now += after_s
        return self.logs.look({KEY: self.path}, self.now)

    def sizes(self) -> list[int]:
        return [part.stat().st_size if part.exists() else 0 for part in parts(self.path)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    found = Log(tmp_path / "bot.log")
    yield found
    found.logs.close()
    os.close(found.descriptor)


def test_small_log_is_left_alone(log: Log) -> None:
    log.write(PART // 2)
    assert not log.look()
    assert log.sizes() == [0, 0, 0, PART // 2 // 100 * 100]


def test_log_that_outgrows_a_part_is_copied_whole_and_cut_and_its_writer_goes_on(log: Log) -> None:
    log.write(PART + 1000, "a")
    before = log.path.read_bytes()
    assert log.look()
    assert log.path.read_bytes() == b""
    kept = old_file(log.path, 1).read_bytes()
    assert before.endswith(kept[-PART + 1000 :])
    log.write(100, "b")
    assert log.path.read_bytes() == b"b" * 99 + b"\n"


def test_older_parts_move_on_and_the_oldest_goes(log: Log) -> None:
    for mark in "abcde":
        log.write(PART + 100, mark)
        log.look()
    letters = [chr(old_file(log.path, number).read_bytes()[-2]) for number in (1, 2, 3)]
    assert letters == ["e", "d", "c"]
    assert sum(log.sizes()) <= TOTAL


def test_flood_is_cut_without_a_copy_and_says_how_much_is_missing(log: Log) -> None:
    log.write(PART + 100, "a")
    log.look()
    for _ in range(5):
        log.write(2 * PART, "b")
        assert log.look(after_s=0.02)
    text = log.path.read_text()
    dropped = int(text.rsplit("flotilla: ", 1)[1].split()[0])
    assert dropped == pytest.approx(10 * PART, rel=0.01)
    assert "FLOTILLA_BOT_LOG_MB" in text
    assert old_file(log.path, 1).read_bytes().endswith(b"a" * 99 + b"\n")
    assert not old_file(log.path, 2).exists()
    log.write(PART, "c")
    log.look()
    assert "bytes of this log were dropped" in old_file(log.path, 1).read_text()
    assert sum(log.sizes()) <= TOTAL


def test_quiet_logs_are_looked_at_in_turns_and_the_others_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    seek = os.lseek

    def counted(descriptor: int, *where: int) -> int:
        looked.append(descriptor)
        return seek(descriptor, *where)

    monkeypatch.setattr("supervisor.botlogs.os.lseek", counted)
    logs = BotLogs(TOTAL)
    wanted = {(name, 1): tmp_path / name for name in "abcdefgh"}
    for path in wanted.values():
        path.write_bytes(b"x")
    seen = []
    for number in range(QUIET_LOOKS + 2):
        looked.clear()
        logs.look(wanted, float(number))
        seen.append(len(looked))
    assert seen == [8, 8, *[8 // QUIET_LOOKS] * QUIET_LOOKS]
    wanted["a", 1].write_bytes(b"x" * (PART + 1))
    assert [logs.look(wanted, 100.0) for _ in range(QUIET_LOOKS)].count(True) == 1, "each has its turn"
    logs.close()


def test_log_of_a_worker_that_is_gone_is_bounded_once_more(log: Log) -> None:
    log.write(100)
    log.look()
    log.write(10 * PART)
    assert not log.logs.look({}, log.now + 5)
    assert sum(log.sizes()) <= PART + 1024


def test_log_that_somebody_moved_away_is_still_bounded(log: Log) -> None:
    log.look()
    moved = log.path.rename(log.path.with_name("elsewhere"))
    log.write(3 * PART)
    log.look()
    assert moved.stat().st_size < 1024


def test_log_that_its_worker_opened_anew_is_bounded_and_so_is_the_moved_one(log: Log) -> None:
    log.look()
    moved = log.path.rename(log.path.with_name("elsewhere"))
    old, log.descriptor = log.descriptor, os.open(log.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(MOVED_LOOKS):
        log.look()
    log.write(3 * PART)
    os.write(old, b"x" * 3 * PART)
    os.close(old)
    for _ in range(QUIET_LOOKS):
        log.look()
    assert log.path.stat().st_size < 1024
    assert moved.stat().st_size < 1024


def test_log_that_is_not_there_yet_is_found_when_it_is(tmp_path: Path) -> None:
    logs, path = BotLogs(TOTAL), tmp_path / "late.log"
    assert not logs.look({KEY: path}, 1)
    path.write_bytes(b"x" * (PART + 1))
    assert logs.look({KEY: path}, 2)
    assert path.stat().st_size < 1024
    logs.close()


def test_part_that_does_not_fit_on_the_disk_is_dropped_and_the_log_cut_all_the_same(log: Log) -> None:
    """RLIMIT_FSIZE makes the kernel refuse the copy halfway, as a full disk does."""
    log.write(PART + 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART // 2, before[1]))
    try:
        assert log.look()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not log.path.with_name("bot.log.new").exists()
    assert log.sizes()[:3] == [0, 0, 0]
    assert "bytes of this log were dropped" in log.path.read_text()
    assert log.path.stat().st_size < 1024


def test_disk_that_is_reserved_behind_a_log_is_given_back(log: Log) -> None:
    log.write(1000)
    keep_size, reserved = 1, 2 * RESERVED_BYTES
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(log.descriptor, keep_size, ctypes.c_long(0), ctypes.c_long(reserved)) != 0:
        pytest.skip("this file system reserves nothing")
    assert log.path.stat().st_blocks * BLOCK_BYTES >= reserved
    for _ in range(MOVED_LOOKS + 1):
        log.look()
    assert log.path.stat().st_blocks * BLOCK_BYTES < RESERVED_BYTES
    assert log.path.read_bytes().count(b"\n") == 10
