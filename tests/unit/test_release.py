import os
import shutil
from pathlib import Path

from flotilla.home import ProgramLock, prepare_home
from flotilla.release import record_release, release_on_disk, running_release
from flotilla.settings import Settings


def a_checkout(folder: Path, code: str) -> Path:
    (folder / "flotilla" / "db").mkdir(parents=True)
    (folder / "flotilla" / "db" / "engine.py").write_text(code)
    return folder


def test_same_code_is_the_same_release_wherever_it_lies(tmp_path: Path) -> None:
    here = a_checkout(tmp_path / "here", "a = 1\n")
    there = tmp_path / "elsewhere" / "there"
    shutil.copytree(here, there)
    os.utime(there / "flotilla" / "db" / "engine.py", (0, 0))
    assert release_on_disk(here) == release_on_disk(there)


def test_code_or_libraries_that_changed_are_another_release(tmp_path: Path) -> None:
    folder = a_checkout(tmp_path, "a = 1\n")
    first = release_on_disk(folder)
    (folder / "flotilla" / "db" / "engine.py").write_text("a = 2\n")
    second = release_on_disk(folder)
    (folder / "uv.lock").write_text("hikari 3\n")
    assert len({first, second, release_on_disk(folder)}) == 3


def test_a_program_tells_its_release_while_it_lives_and_only_then(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    assert running_release(settings, "api") is None
    lock = ProgramLock(settings, "api")
    lock.acquire()
    record = settings.run_dir / "api.release"
    for garbage in ("", "[]", "{}", "\x00", '{"pid": 1, "release": "of the one before"}'):
        record.write_text(garbage)
        assert running_release(settings, "api") is None
    record_release(settings, "api")
    assert running_release(settings, "api") == release_on_disk()
    lock.release()
    assert running_release(settings, "api") is None


def test_a_program_that_cannot_say_its_release_runs_on(tmp_path: Path) -> None:
    record_release(Settings(home=tmp_path / "gone"), "api")
