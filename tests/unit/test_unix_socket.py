"""A Unix socket of one's own."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla.unix_socket import StrangersSocketError, connect, listen_privately, place_of, trusted_users
from tests.ordinary_user import STRANGER

ME = frozenset({os.geteuid()})


def test_socket_at_a_path_of_any_length_is_found_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    path = folder / "api.sock"
    before = os.umask(0)
    try:
        listener = listen_privately(path, 4)
    finally:
        os.umask(before)
    with listener, connect(path, ME, 5) as connection, listener.accept()[0] as accepted:
        connection.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in folder.iterdir()] == ["api.sock"]


def test_socket_takes_the_place_of_what_was_left_there(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("left by somebody")
    (tmp_path / "api.sock.new").write_text("left by somebody")
    listen_privately(path, 4).close()
    left = place_of(path)
    with listen_privately(path, 4), connect(path, ME, 5):
        assert place_of(path) != left


def test_nobody_is_nobody(tmp_path: Path) -> None:
    assert place_of(tmp_path / "api.sock") is None
    for path in (tmp_path / "api.sock", tmp_path / "gone" / "api.sock"):
        with pytest.raises(OSError, match="No such file"):
            connect(path, ME, 5)
    listen_privately(tmp_path / "api.sock", 4).close()
    with pytest.raises(ConnectionRefusedError):
        connect(tmp_path / "api.sock", ME, 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")
def test_nothing_is_sent_to_a_stranger_whoever_owns_the_file(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with subprocess.Popen([sys.executable, "-c", STRANGER, str(path)], stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"listening\n"
        assert path.stat().st_uid == 0
        with pytest.raises(StrangersSocketError, match="user 65534"):
            connect(path, trusted_users(tmp_path), 5)
        assert stranger.stdout.readline() == b"got b''\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root trusts others")
def test_root_trusts_the_owner_of_the_home(tmp_path: Path) -> None:
    assert trusted_users(tmp_path) == {0}
    os.chown(tmp_path, 65534, 65534)
    assert trusted_users(tmp_path) == {0, 65534}
    assert trusted_users(tmp_path / "gone") == {0}
