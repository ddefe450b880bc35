"""What follows from what workers find: told once, and a deaf worker renewed, but not too often and not all of them."""

import pytest

from flotilla.domain.policy import Policy
from flotilla.domain.vitals import Vitals
from flotilla.domain.worker import Renew, State, Worker
from flotilla.protocol import Probed
from supervisor import findings as module
from supervisor.chronicle import Chronicle
from supervisor.findings import FEW_RESPONSES, MANY, Findings
from supervisor.journal import Journal
from supervisor.member import Member
from tests.builders import a_bot, none_refused
from tests.fakes.fleet import MemoryFleetStore

OK = Probed("ok", "", 1.0)


def deaf(rung: str, quiet_s: float = 50.0) -> Probed:
    return Probed("deaf", rung, quiet_s)  # type: ignore[arg-type]


def slow(p95_ms: float, responses: int = FEW_RESPONSES) -> Probed:
    return Probed("ok", "", 0.0, responses, p95_ms)


class Case:
    def __init__(self, bots: int = 1, vitals: Vitals | None = None) -> None:
        self.store = MemoryFleetStore()
        self.chronicle, self.journal = Chronicle(self.store), Journal(self.store, none_refused)
        self.members = [
            Member(a_bot(number), Policy(), Worker(State.RUNNING, 3, ready_at=1.0), vitals=vitals or Vitals())
            for number in range(bots)
        ]
        for member in self.members:
            self.store.put(member.bot)
        self.renewed: list[tuple[str, Renew]] = []
        self.findings = Findings(
            self.chronicle, self.journal, self.members, lambda m, e: self.renewed.append((m.bot.id, e))
        )

    def take(self, *found: Probed, generation: int = 3) -> None:
        for probed in found:
            self.findings.take(self.members[0], generation, probed)

    async def told(self) -> list[tuple[str, dict[str, object]]]:
        await self.chronicle.writer.flush()
        return [(row.code, row.detail) for row in self.store.happenings.get(self.members[0].bot.id, [])]


async def test_each_rung_is_told_once_with_the_seconds_of_silence_and_what_healed() -> None:
    case = Case()
    case.take(OK, deaf("resume"), deaf("resume", 55.0), deaf("identify", 71.5), OK, OK)
    assert await case.told() == [
        ("deaf", {"rung": "resume", "quiet_s": 50.0}),
        ("deaf", {"rung": "identify", "quiet_s": 71.5}),
        ("hearing", {"healed_by": "identify", "quiet_s": 71.5}),
    ]
    assert case.renewed == []


async def test_what_a_worker_found_is_shown_and_what_matters_is_stored_at_once() -> None:
    case = Case()
    bot_id = case.members[0].bot.id
    case.take(Probed("ok", "", 1.0, 12, 250.5))
    assert case.members[0].vitals == Vitals(delivery="ok", quiet_s=1.0, responses=12, response_p95_ms=250.5)
    for found, stored in ((OK, "ok"), (Probed("probing", "", 31.0), "ok"), (OK, "ok"), (deaf("resume"), "deaf")):
        case.take(found)
        await case.journal.writer.flush()
        assert case.store.statuses[bot_id].vitals.delivery == stored


async def test_deaf_worker_that_no_session_heals_is_renewed_once_in_ten_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case()
    case.take(deaf("renew"), deaf("renew"), deaf("renew"))
    assert case.renewed == [(case.members[0].bot.id, Renew(3, "deaf"))]
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.0)
    case.take(deaf("renew"))
    assert len(case.renewed) == 2


async def test_successor_of_a_renewed_worker_heals_only_when_it_hears() -> None:
    case = Case()
    case.take(deaf("renew"))
    case.members[0].worker = Worker(State.RUNNING, 4, ready_at=2.0)
    case.take(Probed("quiet", "", 0.0), Probed("probing", "", 30.0), OK, generation=4)
    assert (await case.told())[-1] == ("hearing", {"healed_by": "renew", "quiet_s": 50.0})


async def test_worker_of_an_older_generation_changes_nothing() -> None:
    case = Case()
    case.take(deaf("renew"), generation=2)
    assert (case.renewed, case.members[0].vitals, await case.told()) == ([], Vitals(), [])


async def test_when_most_bots_are_deaf_it_is_discord_and_none_is_renewed() -> None:
    case = Case(MANY + 1)
    for member in case.members[1:]:
        member.vitals = Vitals(delivery="deaf")
    case.take(deaf("renew"))
    assert case.renewed == []
    for member in case.members[3:]:
        member.vitals = Vitals(delivery="ok")
    case.take(deaf("renew"))
    assert len(case.renewed) == 1


async def test_supervisor_that_takes_over_a_deaf_bot_tells_when_it_hears() -> None:
    case = Case(vitals=Vitals(delivery="deaf"))
    case.take(OK)
    assert [code for code, _ in await case.told()] == ["hearing"]


async def test_slow_responses_are_told_once_and_again_only_after_they_were_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("supervisor.chronicle.REPEAT_S", 0.0)
    case = Case()
    case.take(slow(2001.0, FEW_RESPONSES - 1))
    assert await case.told() == []
    case.take(slow(2001.0), slow(2500.0), slow(100.0, 5), slow(2001.0))
    expected = ("response_slow", {"p95_ms": 2001.0, "responses": 20, "target_ms": 2000.0})
    assert await case.told() == [expected]
    case.take(slow(1999.0), slow(2001.0))
    assert await case.told() == [expected, expected]


async def test_target_above_discords_3_s_is_missed_by_responses_that_never_come() -> None:
    case = Case()
    case.members[0].policy = Policy(response_target_ms=10_000.0)
    case.take(slow(2900.0))
    assert await case.told() == []
    case.take(slow(3030.0))
    assert [code for code, _ in await case.told()] == ["response_slow"]


async def test_removed_bot_is_forgotten() -> None:
    case = Case()
    case.take(deaf("resume"))
    case.findings.forget(case.members[0].bot.id)
    case.members[0].vitals = Vitals()
    case.take(OK)
    assert [code for code, _ in await case.told()] == ["deaf"]
