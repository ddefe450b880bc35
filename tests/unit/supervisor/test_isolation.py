import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flotilla.domain.bots import Bot, Desired
from flotilla.home import prepare_home
from flotilla.settings import Settings
from supervisor.isolation import Isolation
from supervisor.member import Member


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    settings = Settings(home=tmp_path / "home", bot_uid_base=200_000, memory_kernel_limit="rlimit")
    prepare_home(settings)
    settings.home.chmod(0o755)
    return settings


def member(bot_id: str) -> Member:
    return Member(Bot(bot_id, bot_id, "1", (), Desired.RUNNING, 0, datetime.now(UTC)))


async def test_full_disk_keeps_bots_from_starting_and_nothing_else(settings: Settings) -> None:
    isolation = Isolation(settings)
    assert settings.home.stat().st_mode & 0o777 == 0o700
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
    settings = Settings(home=tmp_path / "home", memory_kernel_limit="off")
    prepare_home(settings)
    isolation = Isolation(settings)
    isolation.prepare(["a"])
    isolation.apply(member("a"))
    bounds = isolation.bounds(member("a"))
    assert (bounds.uid, bounds.growth_bytes, bounds.cgroup, bounds.open_files) == (None, None, "", 4096)
    await isolation.forget(["a"])
