from pathlib import Path

from flotilla.home import prepare_home
from flotilla.local_keys import ensure_local_keys, supervisord_key
from flotilla.settings import Settings


def test_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    assert supervisord_key(settings.supervisord_key_file) == ""
    assert settings.effective_redis_url == f"unix://{settings.valkey_socket}"
    ensure_local_keys(settings)
    files = (settings.supervisord_key_file, settings.valkey_conf)
    made = [file.read_text() for file in files]
    ensure_local_keys(settings)
    assert [file.read_text() for file in files] == made
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert supervisord_key(files[0]) == made[0]
    assert len(made[0]) == 64
    password = made[1].split()[1]
    assert settings.effective_redis_url == f"unix://{settings.valkey_socket}?password={password}"
    assert [path.name for path in tmp_path.glob("*.*.*")] == [], "nothing half made is left"
