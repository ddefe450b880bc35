import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import hikari
import pytest
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.shard import GatewayShardImpl
from lightbulb.client import Client

from tests.guilds import Shard, bot, channel, guild, guild_id, ready
from worker_bot import cache_log, session
from worker_bot.cache_log import COMPACT_BYTES
from worker_bot.session import INVALID_SEQ, Continuity
from worker_bot.session_file import MAX_TRIES, now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.session"


class Worker:
    """A worker without its connection: events are put in where the gateway would."""

    def __init__(self, path: Path | None, code: str = "code", shard_count: int = 1) -> None:
        self.continuity = Continuity(path, code)
        self.app = bot()
        self.info = self.continuity.gateway_info()
        self.shards = [Shard(self.app, shard_id, shard_count) for shard_id in range(shard_count)]
        for shard in self.shards:
            self.continuity.restore(shard)

    def take(self, name: str, payload: Any, shard_id: int = 0) -> bool:
        """Let an event come in; return whether it was handed on."""
        handed: list[str] = []
        shard = self.shards[shard_id]
        shard._seq = (shard._seq or 0) + 1

        def forward() -> None:
            handed.append(name)
            if name != "RESUMED":
                manager = self.app._event_manager
                callback = manager._consumers[name.lower()].callback
                callback(shard, payload)  # type: ignore[arg-type]

        self.continuity.consume(name, shard, payload, forward)
        return handed == [name]

    async def known(self) -> list[str]:
        await self.continuity.greets()
        return [f"{c.name} of {c.guild_id >> 22}" for c in self.app.cache.get_guild_channels_view().values()]


async def started(path: Path | None, shard_count: int = 1) -> Worker:
    """Return a worker that is about to greet Discord."""
    worker = Worker(path, shard_count=shard_count)
    await worker.continuity.greets()
    return worker


async def begun(path: Path, *guilds: int) -> Worker:
    worker = await started(path)
    worker.take("READY", ready("s1", *guilds))
    for number in guilds:
        worker.take("GUILD_CREATE", guild(number, channels=1))
    return worker


async def test_successor_goes_on_behind_the_last_event_that_was_handed_on(path: Path) -> None:
    first = await begun(path, 1)
    assert not first.continuity.resumes
    first.continuity.seal()
    assert not first.take("CHANNEL_CREATE", channel(1, 5))

    second = Continuity(path, "code")
    assert (second.resumes, second.same_code) == (True, True)
    info = second.gateway_info()
    assert info is not None
    assert (info.shard_count, info.session_start_limit.remaining) == (1, 1)
    app = bot()
    shard = Shard(app)
    second.restore(shard)
    await second.greets()
    assert (shard._session_id, shard._resume_gateway_url, shard._seq, shard._user_id) == ("s1", "wss://resume", 2, 42)
    assert app.get_me() is not None
    again = Shard(app)
    second.restore(again)
    assert again._session_id is None, "a reconnect of hikari's own goes by what the shard has"
    assert second.gateway_info() is None, "only the start is answered from what was left behind"


async def test_successor_knows_what_events_told_and_is_handed_none_of_them(path: Path) -> None:
    first = await begun(path, 1, 2)
    first.take("CHANNEL_CREATE", channel(2, 7))
    heard: list[Any] = []
    second = Continuity(path, "code")
    app = bot()

    async def listen(event: hikari.Event) -> None:
        heard.append(event)

    app.subscribe(hikari.Event, listen)
    second.restore(Shard(app))
    await second.greets()
    await asyncio.sleep(0)
    names = {f"{c.name} of {c.guild_id >> 22}" for c in app.cache.get_guild_channels_view().values()}
    assert names == set(await first.known()) == {"channel-0 of 2", "channel-0 of 3", "channel-7 of 3"}
    guild_of = app.cache.get_guild(guild_id(1))
    assert guild_of is not None
    assert guild_of.get_my_member() is not None
    assert heard == []


async def test_cache_goes_from_worker_to_worker_by_events_and_snapshots(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(path, 1)
    for position in range(1, 4):
        worker = await started(path)
        worker.take("RESUMED", {})
        assert len(await worker.known()) == position
        worker.take("CHANNEL_CREATE", channel(1, position))
        keeper = worker.continuity._cache
        assert keeper is not None
        keeper._log._bytes = COMPACT_BYTES
        monkeypatch.setattr(cache_log, "SETTLE_S", 0.0)
        await keeper.tend(worker.continuity._shards, worker.continuity._sessions)
        assert path.with_name("bot.session.events").stat().st_size == 0
    assert len(await (await started(path)).known()) == 4


async def test_guild_that_the_bot_left_meanwhile_is_forgotten_with_a_new_session(path: Path) -> None:
    await begun(path, 1, 2)
    second = await started(path)
    second.take("READY", ready("s2", 2))
    assert await second.known() == ["channel-0 of 3"]
    third = await started(path)
    assert (third.shards[0]._session_id, await third.known()) == ("s2", ["channel-0 of 3"])


async def test_successor_of_other_code_registers_its_commands_anew(path: Path) -> None:
    await begun(path)
    continuity = Continuity(path, "other code")
    assert (continuity.resumes, continuity.same_code) == (True, False)


async def test_closed_session_is_not_left_behind(path: Path) -> None:
    worker = await begun(path, 1)
    worker.continuity.end()
    assert not worker.take("CHANNEL_CREATE", channel(1, 5))
    assert not Continuity(path, "code").resumes
    assert list(path.parent.iterdir()) == []


async def test_session_that_discord_cut_is_left_behind(path: Path) -> None:
    worker = await begun(path, 1)
    worker.shards[0].is_connected = False
    worker.continuity.end()
    successor = await started(path)
    assert (successor.shards[0]._session_id, len(await successor.known())) == ("s1", 1)


async def test_session_that_a_worker_did_not_come_to_resume_is_left_to_the_next(path: Path) -> None:
    await begun(path, 1)
    failed = Continuity(path)
    failed.end()
    for _ in range(MAX_TRIES - 1):
        worker = await started(path)
        assert (worker.shards[0]._session_id, len(await worker.known())) == ("s1", 1)
    worker = await started(path)
    assert (worker.shards[0]._session_id, len(await worker.known())) == (None, 0)


async def test_session_that_is_dropped_or_refused_is_tried_by_no_successor(path: Path) -> None:
    await begun(path, 1)
    worker = await started(path)
    worker.take("RESUMED", {})
    await worker.continuity.reconnect(fresh=True)
    assert worker.shards[0]._seq is not None, "what is in the queue still counts"
    await worker.continuity.connects(worker.shards[0])
    assert worker.shards[0]._session_id is None
    assert not Continuity(path, "code").resumes


async def test_second_4007_in_a_row_begins_a_new_session(path: Path) -> None:
    await begun(path, 1)
    worker = await started(path)
    (shard,) = worker.shards
    for code in (INVALID_SEQ, 4000, INVALID_SEQ):
        worker.continuity.closed(shard, code)
        await worker.continuity.connects(shard)
        assert shard._session_id == "s1"
    worker.continuity.closed(shard, INVALID_SEQ)
    await worker.continuity.connects(shard)
    assert shard._session_id is None


async def test_wrong_number_of_shards_is_asked_for_anew(path: Path) -> None:
    worker = await begun(path, 1)
    worker.continuity.closed(worker.shards[0], 4011)
    assert not Continuity(path, "code").resumes


async def test_shard_without_a_session_identifies_and_the_others_resume(path: Path) -> None:
    first = await started(path, shard_count=3)
    for shard_id in range(3):
        first.take("READY", ready(f"s{shard_id}", shard_id), shard_id)
        first.take("GUILD_CREATE", guild(shard_id + 2, channels=1), shard_id)
    path.with_name("bot.session.1of3").write_bytes(b"")

    second = await started(path, shard_count=3)
    assert second.info is None
    assert [shard._session_id for shard in second.shards] == ["s0", None, "s2"]
    assert len(await second.known()) == 3
    gated: list[str] = []

    async def gate() -> None:
        gated.append("identify")

    second.continuity.before_identify = gate
    for shard in second.shards:
        await second.continuity.connects(shard)
    assert gated == ["identify"]


async def test_discords_recommendation_counts_only_where_no_session_is_left(path: Path) -> None:
    limit = hikari.SessionStartLimit(total=1000, remaining=5, reset_after=timedelta(1), max_concurrency=1)
    info = hikari.GatewayBotInfo(url="wss://begin", shard_count=4, session_start_limit=limit)
    cold = Continuity(path, "code").learned(info)
    assert (cold.shard_count, cold.session_start_limit.remaining, cold.session_start_limit.max_concurrency) == (4, 5, 4)
    first = await started(path, shard_count=2)
    first.take("READY", ready("s0"))
    second = Continuity(path, "code")
    assert second.gateway_info() is None
    warm = second.learned(info)
    assert (warm.shard_count, warm.session_start_limit.remaining, warm.session_start_limit.max_concurrency) == (2, 6, 2)
    second.restore(Shard(bot(), shard_count=2))
    assert second.learned(info) == info, "the bot's own code asked"


async def test_session_that_is_up_stays_young_without_events(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await begun(path)
    began = now_s()
    monkeypatch.setattr(session, "TEND_S", 0.001)
    monkeypatch.setattr(session, "now_s", lambda: began + 100)
    tending = asyncio.create_task(worker.continuity.tend())
    await asyncio.sleep(0.05)
    tending.cancel()
    monkeypatch.setattr(session, "now_s", lambda: began + 200)
    assert Continuity(path, "code").resumes


async def test_bot_without_a_place_to_keep_anything_runs_all_the_same() -> None:
    worker = await started(None)
    assert worker.take("READY", ready("s1", 1))
    assert worker.take("GUILD_CREATE", guild(1))
    assert worker.continuity.events == 2
    assert worker.continuity.last_event_at > 0
    worker.continuity.seal()
    worker.continuity.end()


async def test_shard_whose_session_cannot_be_kept_is_served_all_the_same(path: Path) -> None:
    worker = await started(path, shard_count=2)
    path.with_name("bot.session.1of2").mkdir()
    assert worker.take("READY", ready("s1", 1), 1)
    assert worker.take("GUILD_CREATE", guild(1), 1)
    assert await worker.known()


def test_hikari_and_lightbulb_have_the_private_names_that_a_hand_over_needs() -> None:
    """Both are pinned; a new release that renames one of these must not pass."""
    for name in ("_session_id", "_seq", "_resume_gateway_url", "_user_id", "_ws", "_event_manager"):
        assert name in GatewayShardImpl.__slots__
    assert {"_dispatched_tasks", "_consumers"} <= set(EventManagerBase.__slots__)
    assert {"_cache", "_entity_factory"} <= set(hikari.impl.EventManagerImpl.__slots__)
    assert "_asyncio_tasks" in Client.__slots__
    assert {"_cache", "_event_manager"} <= set(hikari.GatewayBot.__slots__)


async def test_fault_that_nobody_foresaw_costs_the_cache_and_not_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(path, 1)
    monkeypatch.setattr(cache_log.CacheLog, "_restore", lambda *_: 1 / 0)
    worker = await started(path)
    assert (worker.shards[0]._session_id, await worker.known()) == ("s1", [])
    me = worker.app.get_me()
    assert me is not None
