from pathlib import Path

import pytest

from worker_bot.session_file import MAX_TRIES, RESUMABLE_S, Session, SessionFile, left_behind, path_of

NOW = 1_000.0
SESSION = Session("s1", "wss://resume", "wss://begin", 42, {"id": "42", "username": "bot"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.session"


def test_session_is_found_by_whoever_opens_the_file_next(path: Path) -> None:
    file = SessionFile(path)
    file.keep(SESSION, 7, NOW)
    file.mark(9, NOW + 1)
    assert SessionFile(path).take(NOW + 2) == (SESSION, 9)
    assert path.stat().st_mode & 0o777 == 0o600


def test_session_that_no_worker_brings_up_is_tried_so_often_and_no_more(path: Path) -> None:
    SessionFile(path).keep(SESSION, 7, NOW)
    for _ in range(MAX_TRIES):
        assert SessionFile(path).take(NOW) == (SESSION, 7)
    assert SessionFile(path).take(NOW) is None
    SessionFile(path).keep(SESSION, 7, NOW)
    assert SessionFile(path).take(NOW) == (SESSION, 7)


@pytest.mark.parametrize("age_s", [-1.0, RESUMABLE_S + 1])
def test_session_that_is_too_old_or_of_another_boot_is_not_tried(path: Path, age_s: float) -> None:
    SessionFile(path).keep(SESSION, 7, NOW)
    assert SessionFile(path).take(NOW + age_s) is None


def test_session_that_was_up_without_any_event_is_as_young_as_that(path: Path) -> None:
    file = SessionFile(path)
    file.keep(SESSION, 7, NOW)
    file.touch(NOW + RESUMABLE_S)
    assert SessionFile(path).take(NOW + RESUMABLE_S + 1) == (SESSION, 7)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"flotses2" + b"\xff" * 4088, b"\0" * 9000])
def test_file_that_is_damaged_holds_no_session(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    file = SessionFile(path)
    assert file.take(NOW) is None
    file.keep(SESSION, 1, NOW)
    assert SessionFile(path).take(NOW) == (SESSION, 1)


def test_session_whose_body_is_damaged_is_not_tried(path: Path) -> None:
    SessionFile(path).keep(SESSION, 7, NOW)
    content = bytearray(path.read_bytes())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)
    assert SessionFile(path).take(NOW) is None


def test_session_that_does_not_fit_is_not_kept(path: Path) -> None:
    file = SessionFile(path)
    large = {"id": "42", "bio": "x" * 5000}
    file.keep(Session("s1", "wss://r", "wss://b", 42, large), 1, NOW)
    assert file.take(NOW) is None


def test_sessions_of_all_shards_are_found(path: Path) -> None:
    for shard_id in (0, 2):
        SessionFile(path_of(path, shard_id, 3)).keep(SESSION, shard_id, NOW)
    assert left_behind(path, NOW) == {(0, 3): (SESSION, 0), (2, 3): (SESSION, 2)}


def test_sessions_that_were_up_last_decide_how_many_shards_there_are(path: Path) -> None:
    SessionFile(path).keep(SESSION, 1, NOW)
    SessionFile(path_of(path, 1, 2)).keep(SESSION, 2, NOW + 1)
    SessionFile(path_of(path, 0, 2)).keep(SESSION, 3, NOW - RESUMABLE_S)
    assert left_behind(path, NOW + 2) == {(1, 2): (SESSION, 2)}
    assert not path.exists()


def test_files_of_other_names_are_left_alone(path: Path) -> None:
    strange = [path.with_name(f"{path.name}.{rest}") for rest in ("2of2", "01of2", "events", "xof3", "1of2.bak")]
    for file in strange:
        file.write_bytes(b"")
    assert left_behind(path, NOW) == {}
    assert all(file.exists() for file in strange)
