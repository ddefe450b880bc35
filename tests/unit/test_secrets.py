import os
from pathlib import Path

import pytest

from flotilla.errors import SetupError
from flotilla.secrets import TokenVault, add_key, ensure_key_file, keep_newest_key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.key"
    ensure_key_file(path)
    return path


def test_the_key_file_is_made_once_and_private(key_file: Path) -> None:
    before = key_file.read_bytes()
    ensure_key_file(key_file)
    assert key_file.read_bytes() == before
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_a_token_survives_and_is_not_readable_at_rest(key_file: Path) -> None:
    vault = TokenVault(key_file)
    stored = vault.encrypt("a token")
    assert b"a token" not in stored
    assert vault.decrypt(stored) == "a token"


def test_a_running_program_follows_a_rotation(key_file: Path) -> None:
    running = TokenVault(key_file)
    stored = running.encrypt("a token")
    add_key(key_file)
    renewed = TokenVault(key_file).reencrypt(stored)
    assert running.decrypt(stored) == running.decrypt(renewed) == "a token"
    keep_newest_key(key_file)
    assert running.decrypt(renewed) == "a token"
    with pytest.raises(SetupError, match=r"not in secrets\.key"):
        running.decrypt(stored)


def test_rotation_keeps_the_file_private_and_the_new_key_first(key_file: Path) -> None:
    old = key_file.read_bytes()
    add_key(key_file)
    assert key_file.read_bytes().endswith(old)
    assert len(key_file.read_bytes().split()) == 2
    keep_newest_key(key_file)
    assert len(key_file.read_bytes().split()) == 1
    assert old.strip() not in key_file.read_bytes()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in key_file.parent.iterdir()) == ["secrets.key"]


def test_a_rotation_within_one_tick_of_the_clock_is_noticed(key_file: Path) -> None:
    running = TokenVault(key_file)
    stamp = key_file.stat().st_mtime_ns
    add_key(key_file)
    os.utime(key_file, ns=(stamp, stamp))
    stored = TokenVault(key_file).encrypt("a token")
    assert running.decrypt(stored) == "a token"


def test_an_exposed_key_file_is_refused_with_the_command_that_mends_it(key_file: Path) -> None:
    key_file.chmod(0o644)
    with pytest.raises(SetupError, match="chmod 600"):
        TokenVault(key_file)


@pytest.mark.parametrize("content", ["not a key\n", "", "A" * 40 + "\n"])
def test_a_damaged_key_file_is_refused(key_file: Path, content: str) -> None:
    key_file.write_text(content)
    with pytest.raises(SetupError, match="damaged"):
        TokenVault(key_file)


def test_what_is_no_text_is_a_damaged_key_file(key_file: Path) -> None:
    key_file.write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="damaged"):
        TokenVault(key_file)
