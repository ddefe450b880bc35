import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flotilla.botlog import log_file
from flotilla.domain.bots import Bot, Desired
from flotilla.home import prepare_home
from flotilla.protocol import Fetch
from flotilla.settings import Settings
from supervisor.lending import Lender
from supervisor.member import Member

MEMBER = Member(Bot("bot", "shop", "1", (), Desired.RUNNING, 0, datetime.now(UTC)))
LOG, SESSION = Fetch("bot", 1, b"", "log"), Fetch("bot", 1, b"", "session")
SHARD = Fetch("bot", 1, b"", "session", 1, 4)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    return settings


def written(settings: Settings, wanted: Fetch) -> None:
    descriptor = Lender(settings, None).open(MEMBER, wanted)
    os.write(descriptor, b"x")
    os.close(descriptor)


def test_a_bot_is_given_its_log_and_the_sessions_of_its_shards_made_if_they_are_gone(settings: Settings) -> None:
    (settings.log_dir / "bots").rmdir()
    for wanted in (LOG, LOG, SESSION, SHARD):
        written(settings, wanted)
    assert log_file(settings.log_dir, "shop").read_text() == "xx"
    folder = settings.session_file("bot").parent
    assert sorted(path.name for path in folder.iterdir()) == ["gateway.session", "gateway.session.1of4"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_a_bot_has_put_in_the_place_of_its_session_is_not_opened_for_it(settings: Settings) -> None:
    place = settings.session_file("bot")
    place.parent.mkdir()
    secret = settings.key_file
    place.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        written(settings, SESSION)
    place.unlink()
    place.hardlink_to(secret)
    with pytest.raises(PermissionError):
        written(settings, SESSION)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(PermissionError):
        written(settings, SESSION)
