"""Which confinement a host, a user and the settings come to; the host is this one, but for its /proc/self."""

import os
from pathlib import Path

import pytest

from flotilla import confinement, landlock
from flotilla.confinement import HIGH_BASE, LOW_BASE, RANGE, closed_to_others, find, uid_base
from flotilla.domain.confinement import NEWEST_ABI
from flotilla.errors import SetupError
from flotilla.settings import Settings

ALL_RIGHTS = "000001ffffffffff"
WHOLE_MAP = "0 0 4294967295"
CONTAINER_MAP = "0 100000 65536"


def proc(folder: Path, rights: str = ALL_RIGHTS, uid_map: str = WHOLE_MAP) -> Path:
    """Return a folder as /proc/self of a process with these capabilities and user ids."""
    (folder / "status").write_text(f"Name:\tx\nCapEff:\t{rights}\n")
    (folder / "uid_map").write_text(uid_map + "\n")
    return folder


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("as_root")
def test_root_gives_each_bot_a_user_of_its_own_unless_that_is_refused_by_name(tmp_path: Path) -> None:
    assert find(Settings(home=tmp_path), proc(tmp_path)).users
    refused = find(Settings(home=tmp_path, bot_users="shared"), proc(tmp_path))
    assert (refused.users, refused.no_users) == (False, "FLOTILLA_BOT_USERS is shared")


@pytest.mark.usefixtures("as_user")
def test_an_ordinary_user_has_none_to_give_and_who_asks_for_them_is_refused(tmp_path: Path) -> None:
    found = find(Settings(home=tmp_path), proc(tmp_path))
    assert (found.users, found.no_users) == (False, "they need root")
    for wrong in ({"bot_uid_base": 100_000}, {"bot_users": "own"}):
        with pytest.raises(SetupError, match="root"):
            find(Settings(home=tmp_path, **wrong), proc(tmp_path))


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("rights", "uid_map", "why"),
    [
        ("0000000000000000", WHOLE_MAP, "CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID"),
        ("000001ffffffffdf", WHOLE_MAP, "lacks the capabilities KILL"),
        (ALL_RIGHTS, "0 1000 1", "too few user ids"),
    ],
)
def test_a_root_that_cannot_make_users_says_what_it_lacks(tmp_path: Path, rights: str, uid_map: str, why: str) -> None:
    found = find(Settings(home=tmp_path), proc(tmp_path, rights, uid_map))
    assert not found.users
    assert why in found.no_users
    assert why in found.text
    with pytest.raises(SetupError, match=r"FLOTILLA_BOT_USERS=shared"):
        find(Settings(home=tmp_path, bot_users="own"), proc(tmp_path, rights, uid_map))


def test_each_home_of_a_host_has_a_range_of_its_own_and_a_container_the_one_it_has(tmp_path: Path) -> None:
    one, two = (uid_base(Settings(home=tmp_path / name), proc(tmp_path)) for name in ("one", "two"))
    assert abs(one - two) > RANGE
    assert all(HIGH_BASE <= base < 2**31 - RANGE for base in (one, two))
    assert uid_base(Settings(home=tmp_path), proc(tmp_path, uid_map=CONTAINER_MAP)) == LOW_BASE
    assert uid_base(Settings(home=tmp_path, bot_uid_base=7_000), proc(tmp_path)) == 7_000


@pytest.mark.usefixtures("as_user")
def test_no_landlock_is_said_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    off = find(Settings(home=tmp_path, bot_landlock="off"), proc(tmp_path))
    assert (off.landlock_abi, off.no_landlock) == (0, "FLOTILLA_BOT_LANDLOCK is off")
    monkeypatch.setattr(landlock, "abi", lambda: NEWEST_ABI + 5)
    assert find(Settings(home=tmp_path), proc(tmp_path)).landlock_abi == NEWEST_ABI


@pytest.mark.usefixtures("as_root")
def test_an_extension_folder_that_is_closed_to_users_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    (closed / "bots").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(confinement, "closed_to_others", lambda place: closed if closed in place.parents else None)
    settings = Settings(home=tmp_path, extensions_path=closed / "bots")
    assert find(settings, proc(tmp_path)).code_closed == str(closed)


def test_folder_that_others_cannot_read_is_found_with_what_closes_it(tmp_path: Path) -> None:
    code = tmp_path / "a" / "b"
    code.mkdir(parents=True)
    for folder in (code, code.parent):
        folder.chmod(0o755)
    closed_above = closed_to_others(tmp_path)
    code.parent.chmod(0o700)
    assert closed_to_others(code) == (closed_above or code.parent)
    assert closed_to_others(Path("/usr/bin")) is None
