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
from tests.stack import until
from worker_bot import cache_log, seam, session
from worker_bot.cache_log import COMPACT_BYTES
from worker_bot.session import INVALID_SEQ, Continuity
from worker_bot.session_file import MAX_TRIES, now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.session"


class Worker:
    """A worker without its connection: events are put in where the gateway would."""

    def __init__(self, path: Path | None, shard_count: int = 1) -> None:
        self.continuity = Continuity(path)
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

    second = Continuity(path)
    assert second.resumes
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
    second = Continuity(path)
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


async def test_closed_session_is_not_left_behind(path: Path) -> None:
    worker = await begun(path, 1)
    worker.continuity.end()
    assert not worker.take("CHANNEL_CREATE", channel(1, 5))
    assert not Continuity(path).resumes
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
    assert not Continuity(path).resumes


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
    assert not Continuity(path).resumes


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
    cold = Continuity(path).learned(info)
    assert (cold.shard_count, cold.session_start_limit.remaining, cold.session_start_limit.max_concurrency) == (4, 5, 4)
    first = await started(path, shard_count=2)
    first.take("READY", ready("s0"))
    second = Continuity(path)
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
    assert Continuity(path).resumes


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


# Handing over --------------------------------------------------------------------------------------------------------


async def test_sealed_worker_keeps_what_comes_and_never_connects_again(path: Path) -> None:
    worker = await begun(path, 1)
    (shard,) = worker.shards
    assert worker.continuity.acknowledges(shard) == 2
    worker.continuity.seal()
    assert worker.continuity.is_handed_over
    assert not worker.take("CHANNEL_CREATE", channel(1, 5))
    assert not worker.take("RESUMED", {})
    assert shard._seq == 4
    assert worker.continuity.acknowledges(shard) == 2, "what comes after the seal stays replayable"
    outbox = worker.continuity._outbox
    assert outbox is not None
    assert [event.name for event in outbox.take(0)] == ["CHANNEL_CREATE"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.continuity.connects(shard), 0.05)


async def test_only_sessions_that_are_all_up_are_worth_a_worker_that_stays(path: Path) -> None:
    assert (await started(None)).continuity.hand_over() is None
    worker = await started(path, shard_count=2)
    worker.take("READY", ready("s0", 1))
    worker.continuity.seal()
    assert worker.continuity.hand_over() is None
    other = await started(path, shard_count=2)
    for shard_id in range(2):
        other.take("READY", ready(f"s{shard_id}", shard_id), shard_id)
    assert other.continuity.hand_over() is None, "it is not sealed"
    other.continuity.seal()
    assert other.continuity.hand_over() is not None


async def test_shard_whose_session_is_refused_lives_on_what_the_worker_before_receives(path: Path) -> None:
    old = await begun(path, 1)
    old.continuity.seal()
    handover = old.continuity.hand_over()
    assert handover is not None
    await handover.listen()
    old.take("CHANNEL_CREATE", channel(1, 5))
    new = await started(path)
    (shard,) = new.shards
    await new.continuity.connects(shard)
    seam.drop_session(shard)  # as hikari does after op 9
    seen: list[str] = []
    new.continuity.see = lambda name, _shard, _payload: seen.append(name)
    await new.continuity.refused(shard)
    await until(lambda: seen == ["CHANNEL_CREATE"], "the event is handed on")
    assert len(await new.known()) == 2
    new.continuity.identifies(shard)
    old.take("CHANNEL_CREATE", channel(1, 6))
    await until(lambda: len(seen) == 2, "so is the next")
    assert not new.take("READY", ready("s2", 1))
    assert not new.take("GUILD_CREATE", guild(1, channels=1))
    assert not new.take("CHANNEL_CREATE", channel(1, 6))
    await new.continuity.settled()
    assert seen == ["CHANNEL_CREATE", "CHANNEL_CREATE", "READY", "GUILD_CREATE"]
    assert sorted(await new.known()) == ["channel-0 of 2", "channel-6 of 2"], "as the new session has it"
    handover.close()
    await until(lambda: handover._writer is None, "nobody is served any more")
    third = await started(path)
    assert (third.shards[0]._session_id, third.shards[0]._seq) == ("s2", 3)
    assert sorted(await third.known()) == ["channel-0 of 2", "channel-6 of 2"]


async def test_worker_that_is_sealed_itself_keeps_what_is_still_passed_on(path: Path) -> None:
    worker = await begun(path, 1)
    worker.continuity.seal()
    worker.continuity._passed_on(worker.shards[0], "CHANNEL_CREATE", channel(1, 5))
    outbox = worker.continuity._outbox
    assert outbox is not None
    assert len(outbox.take(0)) == 1
    assert worker.continuity.events == 2


async def test_stop_after_the_seal_ends_the_sessions(path: Path) -> None:
    worker = await begun(path, 1)
    closed: list[int] = []

    class Socket:
        async def send_close(self, *, code: int, message: bytes) -> None:
            assert message
            closed.append(code)

    worker.shards[0]._ws = Socket()  # type: ignore[assignment]
    worker.continuity.seal()
    assert seam.has_connection(worker.shards[0])
    await worker.continuity.close()
    assert closed == [1001]
    assert not Continuity(path).resumes


async def test_nothing_of_a_bot_runs_once_it_is_silenced_but_what_holds_its_connections(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await begun(path, 1)
    monkeypatch.setattr(seam, "_sealed", [])
    names = ("poll events (shard 0)", "heartbeat (shard 0)", "keep alive (shard 0)", "mine", "the bot's")
    tasks = {name: asyncio.create_task(asyncio.sleep(60), name=name) for name in names}
    worker.continuity.silence(keep={tasks["mine"]})
    await asyncio.sleep(0)
    assert [name for name, task in tasks.items() if task.cancelled()] == ["the bot's"]
    heard: list[Any] = []

    async def listen(event: hikari.Event) -> None:
        heard.append(event)

    worker.app.subscribe(hikari.Event, listen)
    await worker.app.event_manager.dispatch(hikari.StoppingEvent(app=worker.app), return_tasks=True)
    await asyncio.sleep(0)
    assert heard == []
    for task in tasks.values():
        task.cancel()


async def test_heartbeats_tell_what_the_keeper_says_and_refused_sessions_are_told_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await begun(path, 1)
    (shard,) = worker.shards
    sent: list[Any] = []
    refused: list[Any] = []

    async def send(_shard: Any, data: Any, **_how: Any) -> None:
        sent.append(data)

    async def connect(shard: Any) -> tuple[()]:
        shard._seq = None
        return ()

    async def note(shard: Any) -> None:
        refused.append(shard)

    monkeypatch.setattr(seam, "_send", send)
    monkeypatch.setattr(seam, "_connect", connect)
    monkeypatch.setattr(worker.continuity, "refused", note)
    seam.install(worker.continuity)
    try:
        worker.continuity.seal()
        worker.take("CHANNEL_CREATE", channel(1, 5))
        beating: Any = GatewayShardImpl._send_json
        await beating(shard, {"op": 1, "d": shard._seq}, priority=True)
        assert sent == [{"op": 1, "d": 2}]
        worker.continuity._sealed = False
        connecting: Any = GatewayShardImpl._connect
        await connecting(shard)
        assert refused == [shard]
    finally:
        seam.install(None)


def test_event_that_hikari_does_not_know_is_passed_over() -> None:
    shard: Any = Shard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seam, "_consume", lambda _manager, name, *_: dict[str, int]()[name])
        seam.hand_on(shard, "NEW_KIND", {})


def test_hikari_names_the_tasks_of_a_connection_as_it_did() -> None:
    for method, name in (
        (GatewayShardImpl.start, "keep alive (shard "),
        (seam._connect.__globals__["_connect"], "heartbeat (shard "),
        (seam._connect.__globals__["_connect"], "poll events (shard "),
    ):
        assert any(name in str(constant) for constant in method.__code__.co_consts)


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
