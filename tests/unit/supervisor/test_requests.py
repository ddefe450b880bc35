"""What the supervisor makes of the workers' reports: who is told what, what is shown, noted and kept."""

import asyncio
from pathlib import Path

import pytest

from flotilla.domain.policy import Policy
from flotilla.domain.requests import Brake, Rules, bin_of
from flotilla.domain.vitals import HostVitals
from flotilla.protocol import InvalidRequests, RequestLimits, Throttle, ToWorker
from supervisor import requests as module
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.requests import Requests
from supervisor.shell import Shell
from tests.builders import a_bot, none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.stack import until

LIMIT = 1000


class Host:
    """A supervisor's part for the budget, without workers: what they would be told is kept."""

    def __init__(self, path: Path) -> None:
        self.now = 7_000.0
        self.told: dict[str, RequestLimits] = {}
        self.store = MemoryFleetStore()
        self.journal, self.chronicle = Journal(self.store, none_refused), Chronicle(self.store)
        shell = Shell(lambda *_: None, lambda *_: None, lambda _: None, lambda *_: None, lambda _: None)
        self.fleet = Fleet(Policy(), self.journal, shell, spawn_concurrency=4)
        self.bots = [a_bot(number) for number in range(4)]
        for bot in self.bots:
            self.store.put(bot)
        self.fleet.reconcile(self.bots)
        self.path = path
        self.requests = self.supervise()

    def supervise(self) -> Requests:
        return Requests(
            Rules(LIMIT), 5.0, self.path, self.fleet, self.journal, self.chronicle, self.tell, lambda: self.now
        )

    def tell(self, bot_id: str, message: ToWorker) -> None:
        assert isinstance(message, Throttle)
        self.told[bot_id] = message.requests

    def member(self, number: int) -> Member:
        member = self.fleet.get(self.bots[number].id)
        assert member is not None
        return member

    def report(self, number: int, count: int) -> None:
        report = InvalidRequests(((bin_of(self.now), count),), "403 POST /channels/{channel}/messages")
        self.requests.take(self.member(number), 1, report)

    async def happenings(self, number: int | None) -> list[tuple[str, dict[str, object]]]:
        await self.chronicle.writer.flush()
        rows = self.store.happenings.get(None if number is None else self.bots[number].id, [])
        return [(row.code, row.detail) for row in rows]


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "invalid-requests.json")


async def test_every_report_is_answered_with_what_holds(host: Host) -> None:
    host.report(0, 3)
    assert host.told == {host.bots[0].id: RequestLimits(report_at=1, alone=100)}
    assert host.requests.vitals() == HostVitals(3, "none", LIMIT)


async def test_report_that_reaches_the_brake_holds_the_worst_back_at_once_and_slows_all(host: Host) -> None:
    host.now += 1
    host.report(1, 5)
    host.report(0, 600)
    assert {bot_id: (told.brake, told.quarantined) for bot_id, told in host.told.items()} == {
        bot.id: (Brake.SLOW, number == 0) for number, bot in enumerate(host.bots)
    }
    assert (host.member(0).vitals.invalid_requests_10m, host.member(0).vitals.quarantined) == (600, True)
    assert (host.member(1).vitals.invalid_requests_10m, host.member(1).vitals.quarantined) == (5, None)
    ((code, detail),) = await host.happenings(None)
    assert (code, detail["brake"], detail["invalid_requests_10m"], detail["limit"]) == (
        *("invalid_requests", "slow", 605, LIMIT),
    )
    assert detail["worst_last_minute"] == [
        {"bot": "bot-0000", "invalid_requests": 600},
        {"bot": "bot-0001", "invalid_requests": 5},
    ]
    most = "403 POST /channels/{channel}/messages"
    expected = {"invalid_requests_10m": 600, "at_least_s": 300, "most": most}
    assert await host.happenings(0) == [("quarantined", expected)]


async def test_bot_is_released_and_the_brake_lifted_when_that_is_over(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUDGE_EVERY_S", 0.001)
    host.now += 1
    host.report(0, 600)
    task = asyncio.create_task(host.requests.run())
    try:
        host.now += 150
        await asyncio.sleep(0.05)
        host.now += 151
        await until(lambda: not host.told[host.bots[0].id].quarantined, "it is released", 5)
        assert host.told[host.bots[0].id].brake is Brake.SLOW
        host.now += 400
        await until(lambda: host.told[host.bots[2].id].brake is Brake.NONE, "the brake is lifted", 5)
        await until(lambda: host.member(0).vitals.invalid_requests_10m is None, "nothing is shown any more", 5)
    finally:
        task.cancel()
    assert [code for code, _ in await host.happenings(0)] == ["quarantined", "released"]
    assert [code for code, _ in await host.happenings(None)] == ["invalid_requests"]


async def test_orders_to_hold_back_are_renewed_and_everything_is_kept(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUDGE_EVERY_S", 0.001)
    host.now += 1
    host.report(0, 600)
    host.told.clear()
    task = asyncio.create_task(host.requests.run())
    try:
        host.now += module.RENEW_EVERY_S
        await until(lambda: len(host.told) == len(host.bots), "all are told again", 5)
        await until(host.path.exists, "it is kept", 5)
    finally:
        task.cancel()
    successor = host.supervise()
    successor.remember()
    assert successor.vitals() == host.requests.vitals()
    assert successor.limits_of(host.bots[0].id).quarantined


async def test_supervisor_that_ends_keeps_what_it_knows_and_bots_that_are_gone_have_no_name(host: Host) -> None:
    host.report(0, 10)
    host.requests.save()
    successor = host.supervise()
    host.fleet.reconcile([])
    successor.remember()
    assert successor.vitals().invalid_requests_10m == 10
    gone = host.bots[0]
    successor.take(Member(gone), 2, InvalidRequests(((bin_of(host.now), 900),)))
    host.now += 1
    successor.take(Member(gone), 2, InvalidRequests(((bin_of(host.now), 901),)))
    ((_, detail),) = await host.happenings(None)
    assert detail["brake"] == "vital"
