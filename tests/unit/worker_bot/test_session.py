import time
from pathlib import Path
from typing import Any

import hikari
import pytest
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.shard import GatewayShardImpl
from lightbulb.client import Client

from worker_bot.session import RESUMABLE_S, Continuity, Session, SessionFile

NOW = 1_800_000_000.0
READY = {"session_id": "s1", "resume_gateway_url": "wss://resume", "user": {"id": "42", "username": "bot"}}
SESSION = Session("s1", "wss://resume", "wss://begin", 42, {"id": "42", "username": "bot"}, "code")


class Shard:
    """A shard with the names that hikari's has."""

    def __init__(self, shard_count: int = 1) -> None:
        self.shard_count = shard_count
        self._session_id: str | None = None
        self._resume_gateway_url: str | None = None
        self._seq: int | None = None
        self._user_id: hikari.Snowflake | None = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.session"


def test_session_is_taken_once_by_whoever_opens_the_file_next(path: Path) -> None:
    file = SessionFile(path)
    file.keep(SESSION, 7, NOW)
    file.mark(9, NOW + 1)
    successor = SessionFile(path)
    assert successor.take(NOW + 2) == (SESSION, 9)
    assert successor.take(NOW + 2) is None
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("age_s", [-1.0, RESUMABLE_S + 1])
def test_session_that_is_too_old_or_of_the_future_is_not_tried(path: Path, age_s: float) -> None:
    SessionFile(path).keep(SESSION, 7, NOW)
    assert SessionFile(path).take(NOW + age_s) is None


@pytest.mark.parametrize("content", [b"", b"nonsense", b"flotses1" + b"\xff" * 4088, b"\0" * 9000])
def test_file_that_is_damaged_holds_no_session(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    file = SessionFile(path)
    assert file.take(NOW) is None
    file.keep(SESSION, 1, NOW)
    assert SessionFile(path).take(NOW) == (SESSION, 1)


def test_session_that_does_not_fit_is_not_kept(path: Path) -> None:
    file = SessionFile(path)
    large = {"id": "42", "bio": "x" * 5000}
    file.keep(Session("s1", "wss://r", "wss://b", 42, large, "code"), 1, NOW)
    assert file.take(NOW) is None


def handled(continuity: Continuity, name: str, shard: Any, payload: Any = None) -> bool:
    seen: list[str] = []
    continuity.consume(name, shard, payload, lambda: seen.append(name))
    return seen == [name]


def test_successor_goes_on_behind_the_last_event_that_was_handed_on(path: Path) -> None:
    first, shard = Continuity(SessionFile(path), "code"), Shard()
    assert not first.resumes
    for seq, name in enumerate(("READY", "GUILD_CREATE", "MESSAGE_CREATE"), start=1):
        shard._seq = seq
        assert handled(first, name, shard, READY)
    first.seal()
    shard._seq = 4
    assert not handled(first, "MESSAGE_CREATE", shard)

    second, restored = Continuity(SessionFile(path), "code"), Shard()
    assert (second.resumes, second.same_code) == (True, True)
    info = second.gateway_info()
    assert info is not None
    second.restore(restored)
    assert (restored._session_id, restored._resume_gateway_url, restored._seq) == ("s1", "wss://resume", 3)
    assert (restored._user_id, second.me) == (42, READY["user"])
    again = Shard()
    second.restore(again)
    assert again._session_id is None, "a reconnect of hikari's own goes by what the shard has"

    restored._seq = 5
    handled(second, "RESUMED", restored, {})
    third = SessionFile(path).take(NOW + 10**9)
    assert third is None


def test_successor_of_other_code_registers_its_commands_anew(path: Path) -> None:
    SessionFile(path).keep(SESSION, 1, time.time())
    continuity = Continuity(SessionFile(path), "other code")
    assert (continuity.resumes, continuity.same_code) == (True, False)


def test_closed_session_is_not_left_behind(path: Path) -> None:
    continuity, shard = Continuity(SessionFile(path), "code"), Shard()
    shard._seq = 1
    handled(continuity, "READY", shard, READY)
    continuity.end()
    assert not handled(continuity, "MESSAGE_CREATE", shard)
    assert not Continuity(SessionFile(path), "code").resumes


def test_bot_of_several_shards_is_left_alone(path: Path) -> None:
    continuity, shard = Continuity(SessionFile(path), "code"), Shard(shard_count=2)
    shard._seq = 1
    assert handled(continuity, "READY", shard, READY)
    assert not Continuity(SessionFile(path), "code").resumes


def test_hikari_and_lightbulb_have_the_private_names_that_a_hand_over_needs() -> None:
    """Both are pinned; a new release that renames one of these must not pass."""
    for name in ("_session_id", "_seq", "_resume_gateway_url", "_user_id"):
        assert name in GatewayShardImpl.__slots__
    assert "_dispatched_tasks" in EventManagerBase.__slots__
    assert "_asyncio_tasks" in Client.__slots__
    assert {"_cache", "_event_manager"} <= set(hikari.GatewayBot.__slots__)
