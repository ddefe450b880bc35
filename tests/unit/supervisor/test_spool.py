"""Command logs on the disk, when somebody removes or damages their file."""

from pathlib import Path

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from supervisor.spool import Row, Spool

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
