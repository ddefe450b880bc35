"""Command logs on the disk, when somebody removes or damages their file."""

from pathlib import Path

from structlog.testing import capture_logs

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from supervisor.spool import BAD_BYTES, Row, Spool

MIB = 1024 * 1024


def a_row(number: int) -> Row:
    log = CommandLog("01J" + f"{number:023d}", 1_790_000_000.0, Kind.COMMAND, "ping", Outcome.ANSWERED, number, 7)
    return "bot", log


def test_logs_are_taken_on_after_their_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, MIB)
    assert spool.add([a_row(1)])
    path.unlink()
    assert spool.add([a_row(2)])
    assert spool.peek(10) == [a_row(2)]
    spool.drop()
    assert spool.is_empty()


def a_bad_frame(size: int = 3) -> bytes:
    return size.to_bytes(4, "big") + b"\xc1" * size  # a byte that msgpack never uses


def test_a_frame_that_cannot_be_read_is_set_aside_and_costs_none_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, MIB)
    assert spool.add([a_row(1)])
    with path.open("ab") as file:
        file.write(a_bad_frame())
    spool = Spool(path, MIB)
    assert spool.add([a_row(2)])
    with capture_logs() as logs:
        for _ in range(2):  # the database was away the first time
            assert spool.peek(10) == [a_row(1), a_row(2)]
    bad = tmp_path / "spool.bad"
    assert (bad.read_bytes(), bad.stat().st_mode & 0o777) == (a_bad_frame(), 0o600)
    assert [row["frames"] for row in logs if row["event"] == "spool.set_aside"] == [1]
    spool.drop()
    assert spool.is_empty()
    assert not path.exists()


def test_what_is_set_aside_is_bounded_and_keeps_nothing_from_being_read(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(a_bad_frame(100_000) * 40)
    spool = Spool(path, 16 * MIB)
    assert spool.add([a_row(1)])
    with capture_logs() as logs:
        assert spool.peek(1000) == [a_row(1)]
    assert (tmp_path / "spool.bad").stat().st_size == BAD_BYTES
    assert [row["frames"] for row in logs if row["event"] == "spool.set_aside"] == [40]
    path.unlink()
    path.write_bytes(a_bad_frame())
    assert Spool(path, MIB).peek(10) == []
    assert (tmp_path / "spool.bad").stat().st_size == BAD_BYTES


def test_of_a_file_that_was_cut_what_is_left_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, MIB)
    assert spool.add([a_row(1)])
    size = path.stat().st_size
    assert spool.add([a_row(2)])
    with path.open("r+b") as file:
        file.truncate(size + 7)
    assert spool.peek(10) == [a_row(1)]
    spool.drop()
    assert spool.is_empty()
    assert (tmp_path / "spool.bad").stat().st_size == 7


def test_a_disk_that_takes_nothing_aside_keeps_nobody_from_reading(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    (tmp_path / "spool.bad").mkdir()
    path.write_bytes(a_bad_frame())
    spool = Spool(path, MIB)
    assert spool.add([a_row(1)])
    assert spool.peek(10) == [a_row(1)]


def test_a_file_that_is_gone_or_is_none_of_ours_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, MIB)
    for damage in (path.unlink, lambda: path.write_bytes(b"\0\0\0\1" + bytes(path.stat().st_size))):
        assert spool.add([a_row(1)])
        damage()
        assert spool.peek(10) == []
        spool.drop()
        assert spool.is_empty()
        assert spool.add([a_row(2)])
        assert spool.peek(10) == [a_row(2)]
        spool.drop()


def test_a_folder_in_place_of_the_file_refuses_and_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, MIB)
    assert spool.add([a_row(1)])
    path.unlink()
    path.mkdir()
    assert not spool.add([a_row(2)])
    assert spool.peek(10) == []
    assert not spool.is_empty(), "it may come back"
