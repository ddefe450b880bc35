import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.confinement import Confinement
from flotilla.home import prepare_home
from flotilla.settings import Settings
from supervisor.isolation import Isolation, walls_of
from supervisor.member import Member


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("supervisor.isolation.find", lambda _settings: Confinement(users=True, landlock_abi=0))
    monkeypatch.setattr(os, "chown", lambda *_: None)  # the real one needs root
    settings = Settings(home=tmp_path / "home", bot_uid_base=200_000, memory_kernel_limit="rlimit")
    prepare_home(settings)
    settings.home.chmod(0o755)
    return settings


def member(bot_id: str) -> Member:
    return Member(Bot(bot_id, bot_id, "1", (), Desired.RUNNING, 0, datetime.now(UTC)))


async def test_full_disk_keeps_bots_from_starting_and_nothing_else(settings: Settings) -> None:
    isolation = Isolation(settings)
    assert settings.home.stat().st_mode & 0o777 == 0o710
    isolation.prepare(["old"])
    blocked = settings.uid_file.with_name("uids.json.new")
    blocked.mkdir()
    isolation.prepare(["old", "new"])
    assert isolation.bounds(member("old")).uid == 200_001
    with pytest.raises(IsADirectoryError):
        isolation.bounds(member("new"))
    await isolation.forget(["old"])
    blocked.rmdir()
    assert isolation.bounds(member("new")).uid == 200_002


async def test_policy_of_a_bot_without_a_process_and_of_all_without_users_is_no_trouble(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", memory_kernel_limit="off", bot_users="shared", bot_landlock="off")
    prepare_home(settings)
    isolation = Isolation(settings)
    isolation.prepare(["a"])
    isolation.apply(member("a"))
    bounds = isolation.bounds(member("a"))
    assert (bounds.uid, bounds.growth_bytes, bounds.cgroup, bounds.open_files) == (None, None, "", 4096)
    assert (bounds.walls, bounds.searches) == (None, False)
    assert settings.home.stat().st_mode & 0o777 == 0o700
    await isolation.forget(["a"])


def test_walls_close_home_and_database_and_let_bots_connect_where_they_may(tmp_path: Path) -> None:
    inside = Confinement(users=False, landlock_abi=6)
    everywhere = walls_of(Settings(home=tmp_path, database_url="sqlite:////srv/fleet.db?timeout=5"), inside)
    assert everywhere is not None
    assert everywhere.closed == (str(tmp_path), *(f"/srv/fleet.db{end}" for end in ("", "-wal", "-shm", "-journal")))
    assert everywhere.connect is None
    settings = Settings(
        home=tmp_path,
        database_url="postgresql://db/x",
        discord_url="http://127.0.0.1:9000/api/v10",
        bot_connect_ports="5432,443",
        bot_listen_ports="8080",
        bot_write_paths="/srv/a:/srv/b",
    )
    narrow = walls_of(settings, inside)
    assert narrow is not None
    assert narrow.closed == (str(tmp_path),)
    assert (set(narrow.connect or ()), narrow.listen) == ({5432, 443, 9000}, (8080,))
    assert narrow.write == ("/srv/a", "/srv/b")
    assert walls_of(settings, Confinement(users=True, landlock_abi=0)) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts a process as somebody else")
async def test_a_removed_bots_user_stays_its_own_while_something_lives_that_has_it(settings: Settings) -> None:
    isolation = Isolation(settings)
    assert isolation.users is not None
    uid = isolation.users.uid("gone")
    with subprocess.Popen(["sleep", "60"], user=uid, group=uid, cwd="/") as process:  # noqa: ASYNC220
        await isolation.forget(["gone"])
        assert isolation.users.known("gone") == uid
        process.kill()
    await isolation.forget([], lambda found: found == uid)
    assert isolation.users.known("gone") == uid, "nor while it is being ended"
    await isolation.forget([])
    assert isolation.users.known("gone") is None


GONE = "01M8R6XD5DGT29QQDWXPMMKPTW"


async def test_what_a_removed_bot_has_kept_is_removed_by_the_next_supervisor_if_this_one_dies(
    settings: Settings,
) -> None:
    Isolation(settings).leave([GONE])
    folder = settings.bot_folder(GONE)
    (folder / "kept").mkdir(parents=True)
    successor = Isolation(settings)
    assert successor.left_behind([GONE]) == [], "it was not removed after all"
    assert successor.left_behind([]) == [GONE]
    await successor.forget([GONE])
    assert not folder.exists()
    assert Isolation(settings).left_behind([]) == []
    for nonsense in ('[1, null, [], "../.."]', "{}", "no JSON"):
        (settings.run_dir / "leaving.json").write_text(nonsense)
        assert successor.left_behind([]) == []


async def test_what_cannot_be_removed_is_told_and_stays_the_bots(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path, _owners: object) -> None:
        raise RecursionError(str(folder))

    isolation = Isolation(settings)
    assert isolation.users is not None
    uid = isolation.users.uid(GONE)
    with monkeypatch.context() as patch:
        patch.setattr("supervisor.isolation.remove_tree", refuse)
        await isolation.forget([GONE])
    assert "isolation.left" in capsys.readouterr().out
    assert isolation.users.known(GONE) == uid
    await isolation.forget([])
    assert isolation.users.known(GONE) is None
