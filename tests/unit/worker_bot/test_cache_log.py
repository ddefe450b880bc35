import asyncio
import errno
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hikari
import msgspec
import pytest

from tests.guilds import LEAN, Shard, bot, channel, guild, guild_id
from worker_bot import cache_log, seam
from worker_bot.cache_log import CacheLog, Entry
from worker_bot.keepsake import Stamp, pack


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "bot.session"


class Writer:
    """A bot whose events are logged."""

    def __init__(self, base: Path, app: hikari.GatewayBot | None = None) -> None:
        self.app = app or bot()
        self.log = CacheLog(base)
        self.seq = 0

    def take(self, name: str, payload: Any) -> None:
        self.seq += 1
        seam.change_cache(Shard(self.app), name, payload)
        self.log.note(0, "s1", self.seq, name, payload)

    def stamp(self) -> Stamp:
        return Stamp({0: ("s1", self.seq)})

    async def compact(self) -> None:
        await self.log.compact(self.app._cache, self.stamp)


def writer(base: Path, guilds: int = 2) -> Writer:
    made = Writer(base)
    made.log.begin()
    for number in range(guilds):
        made.take("GUILD_CREATE", guild(number, channels=1))
    return made


def names(app: hikari.GatewayBot) -> set[str]:
    return {f"{c.name} of {(c.guild_id >> 22) - 1}" for c in app.cache.get_guild_channels_view().values()}


async def read(
    base: Path, seq: int = 10**6, app: hikari.GatewayBot | None = None, session_id: str = "s1"
) -> set[str] | None:
    """Return what a successor that resumes behind `seq` knows; None if it starts with an empty cache."""
    app = app or bot()

    def apply(entry: Entry, payload: Any) -> None:
        seam.change_cache(Shard(app), entry.name, payload)

    resumed: Mapping[int, tuple[str, int]] = {0: (session_id, seq)}
    loaded = await CacheLog(base).load(app._cache, apply, resumed)
    assert loaded or not app._cache._guild_entries
    return names(app) if loaded else None


BOTH = {"channel-0 of 0", "channel-0 of 1"}


async def test_log_tells_all_that_happened(base: Path) -> None:
    writer(base).take("CHANNEL_DELETE", channel(0, 0))
    assert await read(base) == {"channel-0 of 1"}
    assert {file.stat().st_mode & 0o777 for file in base.parent.iterdir()} == {0o600}


async def test_snapshot_and_what_happened_since_tell_the_same(base: Path) -> None:
    made = writer(base)
    await made.compact()
    assert base.with_name("bot.session.events").stat().st_size == 0
    made.take("CHANNEL_CREATE", channel(0, 3))
    assert await read(base) == BOTH | {"channel-3 of 0"}


async def test_death_between_the_two_steps_of_a_snapshot_counts_nothing_twice(base: Path) -> None:
    made = writer(base)
    made.take("GUILD_DELETE", {"id": str(guild_id(0))})
    events = base.with_name("bot.session.events")
    before = events.read_bytes()
    await made.compact()
    events.write_bytes(before)
    assert await read(base, made.seq) == {"channel-0 of 1"}


async def test_event_that_was_logged_but_not_marked_is_left_to_the_replay(base: Path) -> None:
    made = writer(base)
    made.take("CHANNEL_CREATE", channel(0, 3))
    assert await read(base, seq=2) == BOTH
    assert await read(base) == BOTH, "and the next successor does not find it twice"


async def test_entry_that_a_sigkill_cut_short_is_passed_over_and_overwritten(base: Path) -> None:
    made = writer(base)
    events = base.with_name("bot.session.events")
    whole = events.stat().st_size
    made.take("CHANNEL_CREATE", channel(0, 3))
    content = events.read_bytes()
    for cut in (1, 8, 20, len(content) - whole - 1):
        events.write_bytes(content[: whole + cut])
        assert await read(base) == BOTH
        assert events.stat().st_size == whole


@pytest.mark.parametrize("at", [9, 200, -20])
@pytest.mark.parametrize("suffix", ["cache", "events"])
async def test_damage_costs_the_cache_and_nothing_else(base: Path, suffix: str, at: int) -> None:
    made = writer(base)
    await made.compact()
    made.take("CHANNEL_CREATE", channel(0, 3))
    made.take("CHANNEL_CREATE", channel(0, 4))
    file = base.with_name(f"bot.session.{suffix}")
    content = bytearray(file.read_bytes())
    content[at] ^= 0x55
    file.write_bytes(content)
    assert await read(base) is None
    assert list(base.parent.iterdir()) == []


async def test_entries_that_are_no_events_cost_the_cache(base: Path) -> None:
    made = writer(base)
    made.log.note(0, "s1", 3, "CHANNEL_CREATE", {})
    file = base.with_name("bot.session.events")
    for body in (b"\x01", msgspec.msgpack.encode(Entry(0, "s1", 3, "X", b"{"))):
        frame = cache_log._FRAME.pack(len(body), zlib.crc32(body)) + body
        file.write_bytes(frame)
        assert await read(base) is None


async def test_what_another_session_left_is_not_taken(base: Path) -> None:
    writer(base)
    assert await read(base, session_id="s2") is None


async def test_nothing_left_is_no_fault(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await read(base) is None
    assert caplog.records == []


async def test_link_in_place_of_a_file_is_not_followed(base: Path, tmp_path: Path) -> None:
    writer(base)
    file = base.with_name("bot.session.events")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert await read(base) is None


async def test_cache_of_other_settings_is_not_taken(base: Path) -> None:
    await writer(base).compact()
    other = bot(LEAN | hikari.api.CacheComponents.EMOJIS)
    assert await read(base, app=other) is None


async def test_log_that_grows_too_long_is_given_up_until_the_next_snapshot(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_log, "LOG_MAX_BYTES", 8_000)
    made = writer(base, guilds=6)
    assert not made.log.whole
    assert list(base.parent.iterdir()) == []
    assert made.log.due(10**9)
    await made.compact()
    made.take("CHANNEL_CREATE", channel(0, 3))
    assert "channel-3 of 0" in (await read(base) or ())


async def test_full_disk_costs_the_log_and_not_the_bot(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(base)
    monkeypatch.setattr(os, "write", lambda *_: 1)
    made.take("CHANNEL_CREATE", channel(0, 3))
    assert not made.log.whole

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "open", refuse)
    await made.compact()
    made.log.begin()
    assert not made.log.whole
    assert await read(base) is None


async def test_payload_that_is_no_json_costs_the_log_and_not_the_bot(base: Path) -> None:
    made = writer(base)
    made.log.note(0, "s1", 3, "CHANNEL_CREATE", {"name": "\ud800"})
    assert not made.log.whole


async def test_snapshot_that_events_overtake_is_packed_anew(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(base)
    loop = asyncio.get_running_loop()
    packed: list[bool] = []

    def pack_slowly(cache: Any, stamp: Stamp) -> bytes:
        if len(packed) < cache_log.TRIES:
            packed.append(True)
            happen = channel(0, 10 + len(packed))
            asyncio.run_coroutine_threadsafe(take(happen), loop).result(5)
        return pack(cache, stamp)

    async def take(payload: Any) -> None:
        made.take("CHANNEL_CREATE", payload)

    monkeypatch.setattr(cache_log, "pack", pack_slowly)
    await made.compact()
    assert len(packed) == cache_log.TRIES
    assert await read(base) == BOTH | {f"channel-{10 + n} of 0" for n in (1, 2, 3)}


async def test_snapshot_that_ends_after_the_bot_leaves_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(base)

    def pack_slowly(cache: Any, stamp: Stamp) -> bytes:
        made.log.drop()
        return pack(cache, stamp)

    monkeypatch.setattr(cache_log, "pack", pack_slowly)
    await made.compact()
    assert not base.with_name("bot.session.cache").exists()


async def test_cache_that_cannot_be_packed_is_given_up(base: Path) -> None:
    made = writer(base)
    made.app._cache._me = memoryview(b"")  # type: ignore[assignment]
    await made.compact()
    assert not made.log.whole


async def test_snapshot_is_due_when_the_log_is_long_and_nothing_happens(base: Path) -> None:
    made = writer(base)
    now = made.log._changed_at
    assert not made.log.due(now + 100), "a short log is read as fast"
    made.log._bytes = cache_log.COMPACT_BYTES
    assert not made.log.due(now + 1)
    assert made.log.due(now + cache_log.SETTLE_S + 0.001)
    made.log._bytes = cache_log.LOG_MAX_BYTES // 2
    assert made.log.due(now)
    await made.compact()
    made.log._bytes = cache_log.LOG_MAX_BYTES // 2
    assert not made.log.due(now + 0.7 * cache_log.INTERVAL_S)
    assert made.log.due(now + 1.3 * cache_log.INTERVAL_S + 1)
