"""The database of a used home is empty.

A file that was removed, or a URL that names a new one, would start a fleet without its bots; so the start refuses, says
what is missing, and takes the empty one only when told to.
"""

from pathlib import Path

import pytest

from flotilla.errors import SetupError
from flotilla.launch import probes, start
from flotilla.launch.layout import Mode
from flotilla.settings import Settings

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(home=tmp_path / "h")
    monkeypatch.setattr(probes, "port_free", lambda _: "free")
    return settings


def test_a_used_home_with_a_lost_database_is_not_started_by_mistake(settings: Settings) -> None:
    start.prepare(settings, Mode.REAL)
    database = settings.home / "flotilla.db"
    database.unlink()
    start.prepare(settings, Mode.REAL)  # no bot has run here yet: nothing is missed
    (settings.log_dir / "bots" / "shop.log").touch()
    start.prepare(settings, Mode.REAL)
    database.unlink()
    with pytest.raises(SetupError, match="--new-database") as caught:
        start.prepare(settings, Mode.REAL)
    assert caught.value.code == "database_lost"
    start.prepare(settings, Mode.REAL, new_database=True)
    start.prepare(settings, Mode.REAL)
