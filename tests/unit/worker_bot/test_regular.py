"""What a bot's code puts in the place of a file that its worker opens holds nobody up."""

import ast
import os
import socket
import tracemalloc
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from worker_bot.regular import open_regular, read_regular
from worker_bot.session_file import SessionFile
from worker_bot.telling import read_left


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


INSTEAD = pytest.mark.parametrize("instead", [fifo, link, listener], ids=lambda each: each.__name__)


@INSTEAD
def test_what_is_no_file_is_not_there_and_gone_after_that(tmp_path: Path, instead: object) -> None:
    path = tmp_path / "left"
    instead(path)  # type: ignore[operator]
    with pytest.raises(FileNotFoundError):
        read_regular(path, 10)
    assert not os.path.lexists(path)


@INSTEAD
def test_what_is_no_file_is_replaced_by_one(tmp_path: Path, instead: object) -> None:
    path = tmp_path / "left"
    for flags in (os.O_RDWR, os.O_WRONLY | os.O_APPEND):
        instead(path)  # type: ignore[operator]
        descriptor = open_regular(path, flags | os.O_CREAT)
        os.write(descriptor, b"kept")
        os.close(descriptor)
        assert read_regular(path, 10) == b"kept"
        path.unlink()


def test_folder_and_what_is_too_large_are_errors(tmp_path: Path) -> None:
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
        with pytest.raises(IsADirectoryError):
            open_regular(tmp_path, flags)
    (tmp_path / "large").write_bytes(b"12345")
    assert read_regular(tmp_path / "large", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "large", 4)


def test_a_small_file_takes_little_memory_however_large_it_might_be(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"12345")
    tracemalloc.start()
    try:
        assert read_regular(tmp_path / "small", 1 << 30) == b"12345"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@INSTEAD
def test_worker_finds_nothing_left_and_keeps_its_session(tmp_path: Path, instead: object) -> None:
    instead(tmp_path / "guilds")  # type: ignore[operator]
    assert read_left(tmp_path / "guilds", msgspec.msgpack.Decoder(int)) is None
    instead(tmp_path / "session")  # type: ignore[operator]
    SessionFile(tmp_path / "session").close()
    assert (tmp_path / "session").is_file()


def test_what_is_nested_without_end_is_nothing_left(tmp_path: Path) -> None:
    path = tmp_path / "guilds"
    path.write_bytes(b"\x91" * 100_000 + b"\xc0")
    assert read_left(path, msgspec.msgpack.Decoder(list)) is None


OTHERS = {
    "cache_log.py": 1,  # a file that it has just removed, and makes anew
    "confinement.py": 1,  # its cgroup
    "forked.py": 1,  # /dev/null
    "handover.py": 1,  # the folder itself
    "output.py": 3,  # /dev/null and the log
    "regular.py": 1,
    "texts.py": 1,  # our own translations
}
"""What workers open that is not beside a bot's session: how many places in a module."""


def test_no_module_of_workers_opens_a_file_beside_the_session_in_another_way() -> None:
    found: Counter[str] = Counter()
    for path in (Path(__file__).parents[3] / "worker_bot").rglob("*.py"):
        for call in (each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)):
            name = ast.unparse(call.func)
            found[path.name] += name.rpartition(".")[2] in {"open", "read_bytes", "read_text"}
    assert {name: count for name, count in found.items() if count} == OTHERS
