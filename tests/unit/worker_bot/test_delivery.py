"""What the delivery probe asks, of which guild, and that nothing Discord sends or refuses breaks it."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from flotilla.protocol import WorkerLimits
from worker_bot.delivery import MAX_GUILDS, DeliveryProbe

LIMITS = WorkerLimits(heartbeat_s=1.0)


class Shard:
    """A shard with what the probe uses of hikari's."""

    def __init__(self, number: int = 0, count: int = 1) -> None:
        self.id, self.shard_count, self.is_connected = number, count, True
        self._last_heartbeat_sent, self._last_heartbeat_ack_received = 1.0, 2.0
        self.asked: list[int] = []
        self.fault: Exception | None = None

    async def request_guild_members(self, guild: int, *, query: str, limit: int, nonce: str) -> None:
        assert (query, limit, nonce) == ("alpha", 1, "flotilla.delivery")
        if self.fault is not None:
            raise self.fault
        self.asked.append(guild)


class Bot:
    def __init__(self, *guilds: int) -> None:
        self.guilds = guilds
        self.renewed: list[bool] = []
        self.shards_renewed: list[int] = []
        self.fault: Exception | None = None

    def username(self) -> str:
        return "alpha"

    def known_guilds(self) -> Iterable[int]:
        return self.guilds

    async def reconnect(self, *, fresh: bool, shard_id: int) -> None:
        if self.fault is not None:
            raise self.fault
        self.renewed.append(fresh)
        self.shards_renewed.append(shard_id)


class Case:
    def __init__(self, bot: Bot | None = None, *shards: Shard) -> None:
        self.bot, self.shards = bot or Bot(), shards or (Shard(),)
        self.probe = DeliveryProbe(self.bot, 0.0)
        self.now = 0.0

    def see(self, name: str, payload: Any, shard: Shard | None = None) -> None:
        self.probe.see(name, shard or self.shards[0], payload)  # type: ignore[arg-type]

    async def seconds(self, count: int) -> None:
        for _ in range(count):
            self.now += 1.0
            self.probe.tick(self.now, LIMITS)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    @property
    def state(self) -> tuple[str, str]:
        worst = self.probe.worst()
        assert worst is not None
        return worst.state, worst.rung


def guild(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), **more}


async def test_each_question_goes_to_another_guild() -> None:
    case = Case()
    case.see("READY", {"guilds": [guild(1), guild(2), guild(3)]})
    for number in (1, 2):
        case.see("GUILD_CREATE", guild(number))
    await case.seconds(52)
    assert case.shards[0].asked == [1, 2]
    assert case.bot.renewed == [False]
    assert case.state == ("deaf", "resume")


async def test_guild_that_was_left_or_has_an_outage_is_not_asked() -> None:
    case = Case()
    case.see("READY", {"guilds": [guild(1), guild(2)]})
    case.see("GUILD_CREATE", guild(1))
    case.see("GUILD_CREATE", guild(2))
    case.see("GUILD_DELETE", guild(1, unavailable=True))
    await case.seconds(45)
    assert case.shards[0].asked == [2, 2]
    case.see("GUILD_DELETE", guild(2))
    await case.seconds(45)
    assert case.shards[0].asked == [2, 2]
    assert case.state == ("unprobed", "")


async def test_resumed_session_asks_the_guilds_that_its_predecessor_knew() -> None:
    case = Case(Bot(7))
    case.see("RESUMED", {})
    await case.seconds(32)
    assert case.shards[0].asked == [7]


async def test_new_session_goes_by_what_discord_says_not_by_what_was_known() -> None:
    case = Case(Bot(7))
    case.see("READY", {"guilds": [guild(7, unavailable=True)]})
    await case.seconds(60)
    assert (case.shards[0].asked, case.state) == ([], ("unprobed", ""))


async def test_new_session_after_deafness_is_asked_about_guilds_that_do_not_come() -> None:
    case = Case(Bot(7))
    case.see("RESUMED", {})
    await case.seconds(52)
    case.see("RESUMED", {})
    await case.seconds(22)
    assert case.bot.renewed == [False, True]
    case.shards[0].asked.clear()
    case.see("READY", {"guilds": [guild(7), guild(8)]})
    await case.seconds(22)
    assert case.shards[0].asked == [7, 8]
    assert case.state == ("deaf", "renew")


async def test_each_shard_is_asked_about_its_own_guilds_and_the_worst_is_told() -> None:
    mine, others = 1 << 22, 2 << 22
    case = Case(Bot(mine, others), Shard(0, 2), Shard(1, 2))
    for shard in case.shards:
        case.see("RESUMED", {}, shard)
    await case.seconds(32)
    assert [shard.asked for shard in case.shards] == [[others], [mine]]
    case.see("GUILD_MEMBERS_CHUNK", {}, case.shards[0])
    await case.seconds(20)
    assert case.state == ("deaf", "resume")
    assert case.bot.shards_renewed == [1], "the other one hears"


async def test_question_that_cannot_be_sent_proves_nothing() -> None:
    case = Case(Bot(7))
    case.shards[0].fault = ConnectionResetError("Cannot write to closing transport")
    case.see("RESUMED", {})
    await case.seconds(500)
    assert case.bot.renewed == []


async def test_renewal_that_fails_is_logged_and_the_ladder_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Bot(7))
    case.bot.fault = RuntimeError("no")
    case.see("RESUMED", {})
    with caplog.at_level(logging.ERROR):
        await case.seconds(120)
    assert "the delivery probe failed" in caplog.text
    assert case.state == ("deaf", "renew")


@pytest.mark.parametrize(
    "payload", [None, [], "x", {}, {"guilds": None}, {"guilds": [None, {}, {"id": "x"}, {"id": None}]}]
)
@pytest.mark.parametrize("name", ["READY", "RESUMED", "GUILD_CREATE", "GUILD_DELETE", "SOMETHING_NEW"])
async def test_nonsense_is_no_guild_and_raises_nothing(name: str, payload: Any) -> None:
    case = Case()
    case.see(name, payload)
    await case.seconds(40)
    assert case.shards[0].asked == []


async def test_memory_of_guilds_is_bounded() -> None:
    case = Case(Bot(*range(1 << 22, (1 << 22) + 5000)))
    case.see("RESUMED", {})
    for number in range(5000):
        case.see("GUILD_CREATE", guild(number))
    await case.seconds(1)
    (watch,) = case.probe._watches.values()
    assert len(watch.guilds) == MAX_GUILDS
