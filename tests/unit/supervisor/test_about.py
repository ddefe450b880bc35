"""What a bot hears about itself, how its owners restart it, and what is written down of its commands."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from flotilla.domain.about import BotAbout, BotUptimes, RestartAsked
from flotilla.domain.command_syncs import Refusal, SyncReport
from flotilla.domain.config import BUILT_IN
from flotilla.domain.policy import Policy
from flotilla.domain.stock import StockItem, StockPage
from flotilla.domain.uptime import Mark
from flotilla.domain.worker import BecameReady, Spawned, State
from flotilla.errors import ConflictError, FixInputError, RetryError
from flotilla.protocol import SyncCommands, ToWorker
from flotilla.settings import Settings
from supervisor import about as module
from supervisor.about import About
from supervisor.answers import LOOKS_AT_ONCE
from supervisor.chronicle import Chronicle
from supervisor.command_orders import CommandOrders
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.shell import Shell
from supervisor.stock import Stock
from tests.builders import T0, a_bot, none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.fakes.stock import MemoryStock
from tests.fakes.uptimes import MemoryUptimes
from tests.stack import until


class Case:
    """One bot that runs."""

    def __init__(self) -> None:
        self.store, self.uptimes = MemoryFleetStore(), MemoryUptimes()
        bot = a_bot(1)
        self.store.put(bot)
        self.chronicle = Chronicle(self.store)
        shell = Shell(lambda *_: None, lambda *_: None, lambda _: None, lambda *_: None, lambda _: None)
        self.fleet = Fleet(Policy(), Journal(self.store, none_refused), shell, spawn_concurrency=1)
        self.fleet.reconcile([bot])
        member = self.fleet.get(bot.id)
        assert member is not None
        self.member = member
        self.topics = About(self.uptimes, self.fleet, self.chronicle, asyncio.Semaphore(2)).topics()

    def run(self) -> None:
        for event in (Spawned(1, 4711), BecameReady(1)):
            self.fleet.apply(self.member, event)

    async def ask(self, topic: str, question: Any = None) -> bytes:
        return await self.topics[topic](self.member, b"" if question is None else msgspec.json.encode(question))

    async def told(self) -> list[tuple[str, dict[str, object]]]:
        await self.chronicle.writer.flush()
        return [(row.code, row.detail) for row in self.store.happenings.get(self.member.bot.id, [])]


async def test_a_bot_hears_how_it_is() -> None:
    case = Case()
    case.run()
    case.member.memory_bytes, case.member.latency_ms = 13, 40.5
    found = msgspec.json.decode(await case.ask("status"), type=BotAbout)
    assert (found.state, found.ready, found.generation) == ("RUNNING", True, 1)
    assert (found.memory_bytes, found.latency_ms, found.failures, found.reason) == (13, 40.5, 0, None)
    assert found.since_s is not None
    assert found.since_s >= 0


async def test_a_bot_hears_how_long_it_was_up() -> None:
    case = Case()
    case.uptimes.marks[case.member.bot.id] = [Mark(datetime.now(UTC) - timedelta(hours=1), up=True, expected=True)]
    found = msgspec.json.decode(await case.ask("uptime"), type=BotUptimes)
    assert (found.ratios, found.target, found.since_s) == (dict.fromkeys(("24h", "7d", "30d"), 1.0), 0.995, None)
    case.run()
    assert msgspec.json.decode(await case.ask("uptime"), type=BotUptimes).since_s is not None
    case.uptimes.away = True
    with pytest.raises(RetryError):
        await case.ask("uptime")


async def test_a_restart_is_warm_and_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RELOAD_AFTER_S", 0.02)
    case = Case()
    case.run()
    assert await case.ask("restart", RestartAsked(1)) == b""
    with pytest.raises(ConflictError) as refused:
        await case.ask("restart", RestartAsked(1))
    assert refused.value.code == "restart_under_way"
    await until(lambda: case.member.worker.state is State.STOPPING, "it is restarted")
    assert (case.member.worker.reason, case.member.worker.restart) == ("reloaded", True)
    with pytest.raises(ConflictError):
        await case.ask("restart", RestartAsked(1))


async def test_a_restart_asked_for_by_a_process_of_before_is_done_already() -> None:
    case = Case()
    case.run()
    assert await case.ask("restart", RestartAsked(0)) == b""
    await asyncio.sleep(0)
    assert case.member.worker.state is State.RUNNING


async def test_what_became_of_commands_is_written_down() -> None:
    case = Case()
    refusal = Refusal("global", ("shop",), "shop > name: no.")
    await case.ask("commands.synced", SyncReport(3, (refusal,), "RateLimitTooLongError: later", ("b", "a")))
    assert await case.told() == [
        ("commands_refused", {"commands": ["shop"], "scope": "global", "why": "shop > name: no."}),
        ("commands_late", {"why": "RateLimitTooLongError: later"}),
        ("extension_lost", {"extensions": ["a", "b"]}),
        ("commands_registered", {"commands": 3}),
    ]
    await case.ask("commands.synced", SyncReport())
    assert len(await case.told()) == 4


@pytest.mark.parametrize("body", [b"", b"{", b'{"generation": "1"}', b"\xff", b"[[[[1]]]]"])
async def test_nonsense_is_refused(body: bytes) -> None:
    case = Case()
    for topic in ("restart", "commands.synced"):
        with pytest.raises(FixInputError):
            await case.topics[topic](case.member, body)


def test_a_new_order_is_told_once_and_an_old_one_not_at_all() -> None:
    told: list[tuple[str, ToWorker]] = []

    def tell(bot_id: str, message: ToWorker) -> bool:
        told.append((bot_id, message))
        return True

    orders, bot = CommandOrders(tell), a_bot(1, commands_epoch=3)
    orders.tell_news([bot])
    assert told == []
    for epoch in (4, 4):
        orders.tell_news([a_bot(1, id=bot.id, commands_epoch=epoch)])
    assert told == [(bot.id, SyncCommands(4))]
    orders.forget(bot.id)
    orders.tell_news([a_bot(1, id=bot.id, commands_epoch=5)])
    assert len(told) == 1


# Stock ---------------------------------------------------------------------------------------------------------------


async def test_stock_is_answered_for_the_bot_that_asks() -> None:
    store, one, two = MemoryStock(), Member(a_bot(1)), Member(a_bot(2))
    tea = StockItem("TEA", "Tea", 3, T0)
    store.put(one.bot.id, tea)
    topics = Stock(store, asyncio.Semaphore(2)).topics()
    page = msgspec.json.decode(await topics["stock.page"](one, b"{}"), type=StockPage)
    assert page == StockPage([tea], 1, 1, 1)
    assert msgspec.json.decode(await topics["stock.page"](two, b"{}"), type=StockPage).items == []
    assert msgspec.json.decode(await topics["stock.search"](one, b'{"text": "TE"}'), type=list[StockItem]) == [tea]
    assert msgspec.json.decode(await topics["stock.item"](one, b'{"sku": "TEA"}'), type=list[StockItem]) == [tea]
    wrong = [(topic, body) for topic in topics for body in (b"", b"{", b"[]7", b"\xff")]
    for topic, body in (*wrong, ("stock.page", b'{"page": 0}'), ("stock.search", b'{"limit": 1000}')):
        with pytest.raises(FixInputError):
            await topics[topic](one, body)


async def test_only_so_many_look_into_the_database_at_once() -> None:
    looking, most, go = 0, 0, asyncio.Event()

    class Slow(MemoryStock):
        async def search_stock(self, bot_id: str, text: str, limit: int) -> list[StockItem]:
            nonlocal looking, most
            looking += 1
            most = max(most, looking)
            await go.wait()
            looking -= 1
            return await super().search_stock(bot_id, text, limit)

    search = Stock(Slow(), asyncio.Semaphore(LOOKS_AT_ONCE)).topics()["stock.search"]
    asked = [asyncio.ensure_future(search(Member(a_bot(n)), b"{}")) for n in range(6)]
    await until(lambda: looking == LOOKS_AT_ONCE, "some look")
    go.set()
    assert await asyncio.gather(*asked) == [b"[]"] * 6
    assert most == LOOKS_AT_ONCE


def test_every_bot_of_the_fleet_has_all_built_in_extensions() -> None:
    assert Settings.model_fields["extensions"].default == tuple(BUILT_IN.values())
