"""What a worker's bot does is counted, and told as a whole again and again."""

from typing import Any

import pytest
from ulid import ULID

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.metrics import EMPTY, bucket
from flotilla.protocol import Measured, encode, from_worker
from tests import guilds as discord
from worker_bot.metrics import Metrics
from worker_bot.seam import cache_sizes


class Case:
    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[Measured] = []
        self.metrics = Metrics(self.told.append, 15.0, lambda: self.now)


@pytest.fixture
def case() -> Case:
    return Case()


def a_log(kind: Kind, outcome: Outcome, first_ms: float | None, total_ms: float | None) -> CommandLog:
    return CommandLog(str(ULID()), 1.0, kind, "ping", outcome, 1, 2, first_ms=first_ms, total_ms=total_ms)


def test_everything_is_counted_by_what_it_is(case: Case) -> None:
    for name in ("READY", "MESSAGE_CREATE", "MESSAGE_CREATE", "OF_A_LATER_DISCORD"):
        case.metrics.event(name)
    case.metrics.command(a_log(Kind.COMMAND, Outcome.ANSWERED, 7.5, 80.0))
    case.metrics.command(a_log(Kind.COMMAND, Outcome.FAILED, 2_100.0, None))
    case.metrics.command(a_log(Kind.MODAL, Outcome.UNANSWERED, None, None))
    for status, scope in ((200, None), (204, None), (404, None), (502, None), (429, "user"), (429, "odd"), (429, None)):
        case.metrics.answered(status, scope)
    case.metrics.held_back()
    case.metrics.unanswered()
    case.metrics.lagged(0.3)
    case.metrics.lagged(-0.001)
    counts = case.metrics.counts()
    assert counts.events == {"READY": 1, "MESSAGE_CREATE": 2, "OTHER": 1}
    assert counts.commands == {"command answered": 1, "command failed": 1, "modal unanswered": 1}
    assert counts.rest == {
        "2xx": 2, "4xx": 1, "5xx": 1, "429 user": 1, "429 unknown": 2, "held back": 1, "no answer": 1
    }  # fmt: skip
    assert counts.first.keys() == counts.total.keys() == {"command"}
    assert (counts.first["command"].count, counts.first["command"].sum_us) == (2, 2_107_500)
    assert counts.first["command"].counts[bucket(7.5)] == 1
    assert (counts.lag.count, counts.lag.sum_us) == (2, 300_000)


def test_all_is_told_in_intervals_and_at_the_end(case: Case) -> None:
    case.metrics.event("READY")
    case.metrics.tell(None)
    assert case.told == []
    for _ in range(2):
        case.now += 15
        case.metrics.event("RESUMED")
        case.metrics.tell(None)
    case.metrics.leave()
    assert [message.counts.events for message in case.told] == [
        {"READY": 1, "RESUMED": 1},
        {"READY": 1, "RESUMED": 2},
        {"READY": 1, "RESUMED": 2},
    ]
    assert [message.age_s for message in case.told] == [15.0, 30.0, 30.0]
    assert case.told[0].counts.lag == EMPTY
    assert from_worker.decode(encode(case.told[1])[4:]) == case.told[1]


async def test_caches_are_counted_without_a_copy_and_foreign_ones_not_at_all() -> None:
    app = discord.bot()
    assert cache_sizes(app.cache) == {}
    factory: Any = app.entity_factory
    for number in (1, 2):
        built = factory.deserialize_gateway_guild(discord.guild(number, channels=3, roles=2), user_id=1)
        cache: Any = app.cache
        cache.set_guild(built.guild())
        for role in built.roles().values():
            cache.set_role(role)
        for channel in built.channels().values():
            cache.set_guild_channel(channel)
    assert cache_sizes(app.cache) == {"guilds": 2, "roles": 4, "guild_channels": 6}
    assert cache_sizes(object()) == cache_sizes(None) == {}
