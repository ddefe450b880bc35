"""A sealed worker and its successor over their socket, without Discord: who gets what, and when the first may end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.guilds import Shard
from tests.stack import until
from worker_bot import handover, inheritance
from worker_bot.handover import SOCKET, Greeting, Handover, Outbox, framed
from worker_bot.inheritance import Arrived, Inheritance
from worker_bot.overlap import Phase


class Old:
    """A sealed worker of one shard or more."""

    def __init__(self, folder: Path, shard_count: int = 1) -> None:
        self.outbox = Outbox()
        self.connected = set(range(shard_count))
        self.handover = Handover(
            folder, self.outbox, range(shard_count), shard_count, 42, lambda shard_id: shard_id in self.connected
        )

    def receive(self, *numbers: int, shard_id: int = 0) -> None:
        for number in numbers:
            self.outbox.keep(shard_id, "MESSAGE_CREATE", {"id": str(number)})


class New:
    """Its successor."""

    def __init__(self, folder: Path, shard_count: int = 1) -> None:
        self.handed: list[str] = []
        self.known: list[str] = []
        self.shards = [Shard(shard_id=shard_id, shard_count=shard_count) for shard_id in range(shard_count)]
        self.inheritance = Inheritance(folder, self.take, self.take_passed)

    def take(self, event: Arrived, known: bool) -> None:
        (self.known if known else self.handed).append(event.payload.get("id") or event.name)

    def take_passed(self, _shard: Any, _name: str, payload: Any) -> None:
        self.handed.append(f"passed {payload['id']}")

    def own(self, name: str, payload: Any = None, shard_id: int = 0) -> None:
        self.inheritance.own(Arrived(name, self.shards[shard_id], payload or {}, 1, lambda: None))

    def messages(self, *numbers: int) -> None:
        for number in numbers:
            self.own("MESSAGE_CREATE", {"id": str(number)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is longer than a socket's may be."""
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    return folder


@asynccontextmanager
async def listening(folder: Path, shard_count: int = 1) -> AsyncIterator[Old]:
    old = Old(folder, shard_count)
    await old.handover.listen()
    try:
        yield old
    finally:
        old.handover.close()
        await until(lambda: old.handover._writer is None, "its successor is gone")


@asynccontextmanager
async def met(folder: Path, shard_count: int = 1) -> AsyncIterator[tuple[Old, New]]:
    async with listening(folder, shard_count) as old:
        new = New(folder, shard_count)
        await new.inheritance.met()
        assert new.inheritance.is_there
        yield old, new
    await until(lambda: not new.inheritance.is_there, "the successor is alone")


async def test_successor_that_resumes_needs_nothing_and_is_given_nothing(folder: Path) -> None:
    async with met(folder) as (old, new):
        assert (folder / SOCKET).stat().st_mode & 0o777 == 0o600
        old.receive(1, 2)
        new.messages(1)
        assert old.handover.over() == ""
        new.own("RESUMED")
        await until(lambda: old.handover.over() == "its successor has all it needs", "the successor says so")
        assert new.handed == ["1", "RESUMED"]
        assert not new.inheritance.is_there


async def test_successor_without_a_session_gets_what_comes_until_its_own_is_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance, "CHECKED_S", 0.1)
    async with met(folder) as (old, new):
        old.receive(1, 2)
        new.inheritance.refused(new.shards[0])
        assert new.shards[0]._user_id == 42
        await until(lambda: new.handed == ["passed 1", "passed 2"], "what waited has come")
        new.inheritance.identifies(new.shards[0])
        old.receive(3)
        await until(lambda: new.handed[-1] == "passed 3", "what comes is passed on at once")
        new.own("READY")
        new.messages(3, 4)
        old.receive(4, 5)
        assert new.handed[-1] == "passed 3", "the new session is held back"
        await until(old.handover.over, "the worker before may end")
        await until(lambda: not new.inheritance.is_there, "the successor goes on alone")
        assert new.handed[3:] == ["passed 4", "passed 5", "READY"]
        new.messages(5, 6)
        assert (new.known, new.handed[6:]) == (["3", "4", "5"], ["6"])
        overlaps = new.inheritance._overlaps
        await until(lambda: not overlaps, "nothing is remembered any more")


async def test_worker_before_that_dies_while_it_gives_ends_the_wait_at_once(folder: Path) -> None:
    async with met(folder) as (old, new):
        new.inheritance.refused(new.shards[0])
        old.receive(1)
        await until(lambda: new.handed, "an event has come")
        new.inheritance.identifies(new.shards[0])
        new.own("READY")
        assert new.handed == ["passed 1"]
        writer = old.handover._writer
        assert writer is not None
        writer.transport.abort()
        await until(lambda: new.handed == ["passed 1", "READY"], "the new session goes on")


async def test_worker_before_that_does_not_end_is_not_waited_for_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "SETTLE_S", 60.0)
    monkeypatch.setattr(inheritance, "ENDED_WITHIN_S", 0.1)
    async with met(folder) as (_, new):
        new.inheritance.refused(new.shards[0])
        new.own("READY")
        await until(lambda: new.handed == ["READY"], "the new session goes on")


async def test_new_session_that_is_gone_again_is_not_held_back(folder: Path) -> None:
    async with met(folder) as (_, new):
        new.inheritance.refused(new.shards[0])
        new.own("READY")
        new.inheritance.refused(new.shards[0])
        assert new.handed == ["READY"]


async def test_worker_that_hands_over_itself_waits_for_what_is_held_back(folder: Path) -> None:
    async with met(folder) as (old, new):
        new.inheritance.refused(new.shards[0])
        new.own("READY")
        await asyncio.wait_for(new.inheritance.settled(), 5)
        assert new.handed == ["READY"]
        assert not new.inheritance.is_there
        await until(old.handover.over, "the worker before may end")


async def test_worker_before_that_dies_before_there_is_a_session_is_told_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with met(folder) as (old, new):
        new.inheritance.refused(new.shards[0])
        await until(lambda: old.outbox.pass_on, "the successor asks")
        old.handover.close()
        await until(lambda: not new.inheritance.is_there, "the worker before is gone")
        assert "until shard 0 has a session is lost" in caplog.text
        new.own("READY")
        assert new.handed == ["READY"]


async def test_next_successor_gets_what_came_after_the_one_before_it_died(folder: Path) -> None:
    async with met(folder) as (old, new):
        old.receive(1)
        new.inheritance.refused(new.shards[0])
        await until(lambda: new.handed == ["passed 1"], "what waited has come")
        new.inheritance._close()
        await until(lambda: old.handover._writer is None, "it is gone")
        assert old.handover.over() == ""
        old.receive(2)
        next_one = New(folder)
        await next_one.inheritance.met()
        next_one.inheritance.refused(next_one.shards[0])
        await until(lambda: next_one.handed == ["passed 2"], "the next one goes on")


async def test_each_shard_is_given_what_it_needs(folder: Path) -> None:
    async with met(folder, 2) as (old, new):
        old.receive(1, shard_id=0)
        old.receive(2, shard_id=1)
        new.own("RESUMED", shard_id=0)
        new.inheritance.refused(new.shards[1])
        await until(lambda: new.handed == ["RESUMED", "passed 2"], "the second shard's event has come")
        old.connected.clear()
        assert old.handover.over() == ""
        new.own("READY", shard_id=1)
        await until(lambda: new.handed[-1] == "READY", "a session that is gone is not waited for")
        await until(old.handover.over, "the worker before may end")


async def test_successor_with_other_shards_goes_on_without(folder: Path) -> None:
    async with met(folder, 2) as (old, new):
        new.inheritance.refused(Shard(shard_id=0, shard_count=3))
        await until(lambda: old.handover.over() == "its successor needs nothing", "the worker before may end")
        new.own("READY")
        assert new.handed == ["READY"]


async def test_worker_ends_when_no_successor_comes_or_its_time_is_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(folder) as old:
        assert old.handover.over() == ""
        old.connected.clear()
        assert old.handover.over() == "its sessions are closed or taken over"
        old.connected.add(0)
        monkeypatch.setattr(handover, "ALONE_S", 0.0)
        assert old.handover.over() == "no successor came"
        monkeypatch.setattr(handover, "SEALED_S", 0.0)
        assert old.handover.over() == "its time is up"


async def test_second_successor_at_once_is_turned_away(folder: Path) -> None:
    async with met(folder) as (_, new):
        other = New(folder)
        await other.inheritance.met()
        assert not other.inheritance.is_there
        assert new.inheritance.is_there


@pytest.mark.parametrize("said", [b"nonsense", b"", framed(Greeting(99, (0,), 1, 42)), framed(handover.Ended(0, 0))])
async def test_whoever_does_not_speak_like_a_worker_is_done_without(folder: Path, said: bytes) -> None:
    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    with handover.short_path(folder) as path:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
    server = await asyncio.start_unix_server(speak, sock=listener)
    new = New(folder)
    await new.inheritance.met()
    assert not new.inheritance.is_there
    new.inheritance.refused(new.shards[0])
    new.own("READY")
    assert new.handed == ["READY"]
    server.close()
    await server.wait_closed()


async def test_worker_before_that_is_blocked_delays_its_successor_little(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance, "GREETED_WITHIN_S", 0.05)
    listener = handover._bound(folder)
    listener.listen()
    new = New(folder)
    await asyncio.wait_for(new.inheritance.met(), 5)
    assert not new.inheritance.is_there
    listener.close()


async def test_nonsense_of_a_successor_ends_its_connection_alone(folder: Path) -> None:
    async with listening(folder) as old:
        with handover.short_path(folder) as path:
            reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"\xff" * 64)
        assert await reader.read(), "it was greeted, then hung up on"
        writer.close()
        assert old.handover.over() == "its successor needs nothing"


def test_process_of_another_user_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    assert handover.is_own(ours)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert not handover.is_own(ours)
    ours.close()
    theirs.close()


def test_outbox_drops_the_oldest_and_counts_it() -> None:
    outbox = Outbox(max_events=3, max_bytes=60)
    for number in range(5):
        outbox.keep(number % 2, "MESSAGE_CREATE", {"id": str(number)})
    assert ([event.payload for event in outbox.take(0)], outbox.lost) == ([b'{"id":"2"}', b'{"id":"4"}'], {0: 1, 1: 1})
    outbox.keep(0, "MESSAGE_CREATE", {"content": "x" * 100})
    assert (outbox.take(0), outbox.take(1)) == ([], [])
    assert outbox.lost == {0: 2, 1: 2}


async def test_events_that_were_lost_are_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with met(folder) as (old, new):
        old.outbox.lost[0] = 7
        new.inheritance.refused(new.shards[0])
        new.own("READY")
        await until(lambda: new.handed == ["READY"], "the new session goes on")
        assert "7 events of shard 0 were lost" in caplog.text


async def test_successor_that_does_not_read_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "MAX_BYTES", 100_000)
    async with listening(folder) as old:
        with handover.short_path(folder) as path:
            _, writer = await asyncio.open_unix_connection(path, limit=1)
        writer.write(framed(handover.Give(0)))
        await until(lambda: old.outbox.pass_on, "it asks")
        for _ in range(200):
            old.outbox.keep(0, "MESSAGE_CREATE", {"content": "x" * 10_000})
        await until(lambda: old.handover._writer is None, "it is gone")
        writer.close()


async def test_unknown_event_of_a_session_that_was_held_back_is_passed_over(folder: Path) -> None:
    async with met(folder) as (_, new):
        taken: list[str] = []

        def take(event: Arrived, _known: bool) -> None:
            taken.append(event.name)
            if event.name == "NEW_KIND":
                raise LookupError

        new.inheritance._take = take
        new.inheritance.refused(new.shards[0])
        new.own("READY")
        new.own("NEW_KIND")
        new.own("OTHER")
        await until(lambda: taken == ["READY", "NEW_KIND", "OTHER"], "all are taken")
        assert new.inheritance._overlaps[0].phase is Phase.CHECKING
