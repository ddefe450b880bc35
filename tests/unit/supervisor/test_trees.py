"""Folders that bots have filled are removed, and nothing else is."""

import os
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.trees import remove_tree
from tests.ordinary_user import become, folder_for_all, free_uid, give

DEPTH = 3_000
"""Deeper than Python recurses, and a path of more bytes than the kernel takes."""


def deep(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def test_folder_that_is_deeper_than_anything_recurses_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    deep(folder)
    (folder / "beside").write_text("")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, hard))
    try:
        remove_tree(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not folder.exists()


def test_links_and_what_they_lead_to_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("here")
    folder = tmp_path / "bot"
    (folder / "below").mkdir(parents=True)
    (folder / "link").symlink_to(kept)
    (folder / "below" / "link").symlink_to(kept)
    (folder / "below" / "hard").hardlink_to(kept / "file")
    os.mkfifo(folder / "below" / "fifo")
    remove_tree(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "here"
    (tmp_path / "bot").symlink_to(kept)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_tree(tmp_path / "bot")
    assert (kept / "file").exists()


def test_what_is_not_there_or_is_a_strangers_is_left_alone(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")
    folder = tmp_path / "squatted"
    folder.mkdir()
    remove_tree(folder, owners={os.getuid() + 1})
    assert folder.exists()
    remove_tree(folder, owners={os.getuid()})
    assert not folder.exists()


def test_many_files_take_no_memory_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    (folder / "below").mkdir(parents=True)
    for number in range(5_000):
        (folder / "below" / f"{number:0200}").touch()
    tracemalloc.start()
    try:
        remove_tree(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000
    assert not folder.exists()


@pytest.fixture
def ordinary() -> Callable[[Callable[[], None]], int]:
    """Return what runs a function as an ordinary user in a child; its exit code says whether that went well."""

    def run(function: Callable[[], None]) -> int:
        uid, pid = free_uid(), os.fork()
        if pid == 0:
            code = 1
            try:
                if os.getuid() == 0:
                    become(uid)()
                function()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run


def test_modes_that_shut_an_ordinary_user_out_of_his_own_folders_are_no_hindrance(
    ordinary: Callable[[Callable[[], None]], int],
) -> None:
    with folder_for_all() as place:
        if os.getuid() == 0:
            give(place, free_uid())
        folder = place / "bot"

        def fill_and_remove() -> None:
            (folder / "a" / "b" / "c").mkdir(parents=True)
            (folder / "a" / "b" / "file").write_text("")
            (folder / "a" / "b").chmod(0)
            (folder / "a").chmod(0o500)
            folder.chmod(0)
            remove_tree(folder)

        assert ordinary(fill_and_remove) == 0
        assert not folder.exists()
