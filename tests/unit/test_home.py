import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from flotilla.errors import SetupError
from flotilla.home import ProgramLock, prepare_home
from flotilla.settings import Settings
from tests.stack import until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_the_home_is_its_owners_alone(settings: Settings) -> None:
    prepare_home(settings)
    prepare_home(settings)
    assert settings.home.stat().st_mode & 0o077 == 0
    assert settings.key_file.stat().st_mode & 0o777 == 0o600
    assert set(settings.run_dir.iterdir()) == {settings.session_dir, settings.control_socket.parent}
    assert (settings.log_dir / "bots").is_dir()


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="Cannot write to") as caught:
        prepare_home(Settings(home=tmp_path / "file" / "home"))
    assert caught.value.code == "home_not_writable"


def test_a_second_program_is_refused_and_the_first_is_named(settings: Settings) -> None:
    prepare_home(settings)
    first, second = ProgramLock(settings, "api"), ProgramLock(settings, "api")
    first.acquire()
    assert second.holder() == os.getpid()
    with pytest.raises(SetupError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    first.release()
    assert second.holder() is None
    second.acquire()
    second.release()


def test_nobody_holds_a_lock_that_was_never_made(settings: Settings) -> None:
    assert ProgramLock(settings, "api").holder() is None


def test_a_lock_without_a_number_in_it_has_an_unknown_holder(settings: Settings) -> None:
    prepare_home(settings)
    lock = ProgramLock(settings, "api")
    lock.acquire()
    (settings.run_dir / "api.pid").write_text("")
    assert ProgramLock(settings, "api").holder() is None
    with pytest.raises(SetupError, match="process unknown"):
        ProgramLock(settings, "api").acquire()
    lock.release()


def test_a_killed_program_leaves_no_lock(settings: Settings) -> None:
    prepare_home(settings)
    code = (
        "import pathlib, sys\n"
        "from flotilla.home import ProgramLock\nfrom flotilla.settings import Settings\n"
        "ProgramLock(Settings(home=pathlib.Path(sys.argv[1])), 'jobs').acquire()\n"
        "print('held', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert ProgramLock(settings, "jobs").holder() == holder.pid
        holder.kill()
        holder.wait(10)
    assert ProgramLock(settings, "jobs").holder() is None


async def test_a_lock_whose_file_was_removed_is_made_anew_and_names_its_holder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flotilla.home.STAY_S", 0.01)
    prepare_home(settings)
    lock, other = ProgramLock(settings, "api"), ProgramLock(settings, "api")
    lock.acquire()
    staying = asyncio.create_task(lock.stay())
    shutil.rmtree(settings.run_dir)
    await until(lambda: other.holder() == os.getpid(), "whoever asks finds it")
    with pytest.raises(SetupError, match=f"process {os.getpid()}"):
        other.acquire()
    staying.cancel()
    lock.release()


async def test_a_lock_that_a_stranger_took_meanwhile_is_left_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flotilla.home.STAY_S", 0.01)
    prepare_home(settings)
    lock, stranger = ProgramLock(settings, "api"), ProgramLock(settings, "api")
    lock.acquire()
    (settings.run_dir / "api.pid").unlink()
    stranger.acquire()
    with capture_logs() as logs:
        staying = asyncio.create_task(lock.stay())
        await until(lambda: any(row["event"] == "lock.lost" for row in logs), "it is told")
    staying.cancel()
    stranger.release()
    lock.release()
