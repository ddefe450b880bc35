"""The home and its keys are their owner's alone, on a real folder."""

import os
import stat
from pathlib import Path

import pytest

from flotilla.errors import SetupError
from flotilla.home import prepare_home
from flotilla.settings import Settings

SOMEBODY = 65_533
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    prepare_home(made)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_too_open_and_ours_is_closed(settings: Settings) -> None:
    database, admin_key, own = (settings.home / name for name in ("flotilla.db", "admin.key", "notes.txt"))
    for path in (database, admin_key, own):
        path.touch()
        path.chmod(0o644)
    opened = [settings.home, settings.run_dir, settings.log_dir, settings.session_dir, settings.log_dir / "bots"]
    for path in opened:
        path.chmod(0o777)
    settings.key_file.chmod(0o666)
    prepare_home(settings)
    assert [mode(path) for path in opened] == [0o700] * len(opened)
    assert [mode(path) for path in (settings.key_file, database, admin_key)] == [0o600] * 3
    assert mode(own) == 0o644, "what is not Flotilla's is let be"


def test_a_folder_with_other_things_in_it_is_closed_to_writers_alone_when_it_becomes_a_home(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    tmp_path.chmod(0o775)
    prepare_home(Settings(home=tmp_path))
    assert mode(tmp_path) == 0o755


def test_a_folder_for_everybodys_files_is_no_home_and_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(SetupError, match=f"FLOTILLA_HOME={shared}/flotilla") as caught:
        prepare_home(Settings(home=shared))
    assert caught.value.code == "home_shared"
    assert (mode(shared), list(shared.iterdir())) == (0o1777, [])


def test_a_key_file_that_lies_elsewhere_is_refused_while_others_can_read_it(settings: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    settings.key_file.rename(elsewhere)
    settings.key_file.symlink_to(elsewhere)
    prepare_home(settings)
    elsewhere.chmod(0o644)
    with pytest.raises(SetupError, match=f"Run: chmod 600 {elsewhere}"):
        prepare_home(settings)
    assert mode(elsewhere) == 0o644


@needs_root
@pytest.mark.parametrize("which", ["home", "key_file", "run_dir"])
def test_what_belongs_to_somebody_else_is_refused_with_the_command_that_mends_it(
    settings: Settings, which: str
) -> None:
    path = getattr(settings, which)
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(SetupError, match=f"chown -R 0 {settings.home}") as caught:
        prepare_home(settings)
    assert caught.value.code == "home_of_another"
    assert str(path) in str(caught.value)
    os.chown(path, 0, 0)
    prepare_home(settings)


@needs_root
def test_folders_of_bots_with_users_of_their_own_are_theirs(settings: Settings) -> None:
    folder = settings.session_dir / "bot"
    folder.mkdir(mode=0o700)
    os.chown(folder, SOMEBODY, SOMEBODY)
    prepare_home(settings)
    assert folder.stat().st_uid == SOMEBODY


def test_folders_that_bots_with_users_of_their_own_may_pass_stay_as_the_supervisor_has_them(settings: Settings) -> None:
    for folder in (settings.home, settings.run_dir, settings.log_dir):
        folder.chmod(0o710)
    prepare_home(settings)
    assert [mode(folder) for folder in (settings.home, settings.run_dir, settings.log_dir)] == [0o710] * 3
