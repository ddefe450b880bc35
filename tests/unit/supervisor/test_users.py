"""User ids of bots, on a real folder. Changing an owner needs root, so those of folders are only read here."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flotilla.errors import SetupError
from supervisor import users as module
from supervisor.users import BotUsers

BASE = 100_000


def users(folder: Path, base: int = BASE) -> BotUsers:
    (folder / "sessions").mkdir(exist_ok=True)
    return BotUsers(folder / "uids.json", base, folder / "sessions")


def test_no_two_bots_share_a_user_and_each_keeps_its_own(tmp_path: Path) -> None:
    first = users(tmp_path)
    first.ensure(["a", "b", "c"])
    first.ensure(["b"])
    given = {bot: first.uid(bot) for bot in "abcd"}
    assert given == {"a": BASE + 1, "b": BASE + 2, "c": BASE + 3, "d": BASE + 4}
    assert first.fleet_gid == BASE
    successor = users(tmp_path)
    assert {bot: successor.known(bot) for bot in "abcd"} == given
    assert (tmp_path / "uids.json").stat().st_mode & 0o777 == 0o600


def test_user_of_a_removed_bot_is_the_last_to_be_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANGE", 3)
    found = users(tmp_path)
    found.ensure(["a", "b"])
    found.forget(["a", "never there"])
    assert found.known("a") is None
    assert users(tmp_path).uid("c") == BASE + 3
    assert users(tmp_path).uid("d") == BASE + 1
    with pytest.raises(SetupError, match="All 3 user ids"):
        users(tmp_path).ensure(["e"])
    assert users(tmp_path).known("e") is None


def test_lost_file_is_made_good_from_the_owners_of_the_bots_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path.stat().st_uid
    monkeypatch.setattr(module, "RANGE", mine + 10)
    (tmp_path / "sessions" / "a").mkdir(parents=True)
    (tmp_path / "sessions" / "stray file").touch()
    found = users(tmp_path, mine - 1)
    assert found.known("a") == mine
    assert found.uid("b") != mine


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "{}", '{"last": 1, "uids": []}', '{"last": "x", "uids": {}}'),
        '{"last": 100001, "uids": {"a": null}}',
        json.dumps({"last": BASE + 1, "uids": {"a": BASE + 1, "b": BASE + 1}}),
    ],
)
def test_damaged_file_is_a_sentence_and_nobody_gets_a_user(tmp_path: Path, text: str) -> None:
    (tmp_path / "uids.json").write_text(text)
    with pytest.raises(SetupError, match=r"uids\.json") as caught:
        users(tmp_path)
    assert caught.value.code == "uids_damaged"


def test_with_another_base_all_get_new_users(tmp_path: Path) -> None:
    users(tmp_path).ensure(["a"])
    moved = users(tmp_path, 500_000)
    assert moved.known("a") is None
    assert moved.uid("a") == 500_001


def test_what_cannot_be_written_down_is_not_given(tmp_path: Path) -> None:
    found = users(tmp_path)
    (tmp_path / "uids.json.new").mkdir()
    with pytest.raises(IsADirectoryError):
        found.ensure(["a"])
    assert found.known("a") is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts a process as somebody else")
def test_user_of_a_process_that_lives_is_given_to_no_bot(tmp_path: Path) -> None:
    """Whoever it was: its file of users may be lost, and it would be another bot's from then on."""
    with subprocess.Popen(["sleep", "60"], user=BASE + 1, group=BASE + 1, cwd="/") as process:
        assert users(tmp_path).uid("a") == BASE + 2
        process.kill()
