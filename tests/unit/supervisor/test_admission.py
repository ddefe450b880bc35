"""A bot whose worker tells without end has its share, and what is beyond is counted and told as so many more."""

from typing import Any

import pytest
from ulid import ULID

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.happenings import Occurrence
from flotilla.domain.shares import COMMAND_LOGS, EVENTS, MOVES, QUESTIONS, RELOADS, STATUSES, Shares
from flotilla.domain.worker import State, Worker
from flotilla.protocol import (
    Answered,
    Ask,
    Beat,
    CommandsRan,
    Happened,
    IdentifiedAlone,
    NotReady,
    Probed,
    ProtocolError,
    Ready,
    ToWorker,
)
from supervisor.admission import TELL_S, Admission
from supervisor.member import Member
from tests.builders import a_bot


class Case:
    """Two bots, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[ToWorker] = []
        self.noted: list[tuple[str, str, Any]] = []
        self.bot, self.other = (Member(a_bot(number), worker=Worker(State.RUNNING, 1)) for number in (1, 2))
        self.admission = Admission(Shares(), self.tell, self.note, lambda: self.now)

    def tell(self, _bot_id: str, message: ToWorker) -> None:
        self.told.append(message)

    def note(self, code: str, bot_id: str, name: str, *, more: dict[str, int]) -> None:
        assert name == {self.bot.bot.id: self.bot.bot.name, self.other.bot.id: self.other.bot.name}[bot_id]
        self.noted.append((code, bot_id, more))

    def happened(self, *codes: str) -> list[str]:
        rows = tuple(Occurrence(str(ULID()), 1.0, code) for code in codes)
        found = self.admission.of(self.bot, Happened(1, rows))
        assert isinstance(found, Happened)
        assert found.number == 1
        return [row.code for row in found.rows]


@pytest.fixture
def case() -> Case:
    return Case()


def test_happenings_without_end_are_a_share_and_so_many_more(case: Case) -> None:
    let_in = 0
    for minute in range(10):
        case.now = TELL_S * minute
        for _ in range(10):
            let_in += len(case.happened(*["guild_joined"] * 100))
            case.admission.tell_left_out()
    case.now += TELL_S
    case.admission.tell_left_out()
    assert let_in <= EVENTS.at_once + 11 * EVENTS.per_minute
    assert {code for code, *_ in case.noted} == {"and_more"}
    assert len(case.noted) == 11, "the first at once, then one a minute"
    assert sum(more["events"] for _, _, more in case.noted) + let_in == 10_000
    case.now += TELL_S
    case.admission.tell_left_out()
    assert len(case.noted) == 11


def test_what_is_critical_is_let_in_when_a_flood_has_used_up_all_else(case: Case) -> None:
    for _ in range(20):
        case.happened(*["guild_joined"] * 100)
    assert case.happened("guild_left", "second_instance", "guild_left") == ["second_instance"]


def test_order_of_what_is_let_in_stays(case: Case) -> None:
    codes = ["guild_left", "second_instance", "guild_joined"]
    assert case.happened(*codes) == codes


def test_command_logs_without_end_are_a_share_and_the_batch_is_still_answered(case: Case) -> None:
    logs = tuple(CommandLog(str(ULID()), 1.0, Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2) for _ in range(200))
    let_in = 0
    for number in range(200):
        found = case.admission.of(case.bot, CommandsRan(number, logs))
        assert isinstance(found, CommandsRan)
        let_in += len(found.logs)
    assert let_in == COMMAND_LOGS.at_once
    assert case.admission.of(case.other, CommandsRan(1, logs)) == CommandsRan(1, logs), "others lose nothing"


def test_worker_that_does_nothing_but_become_ready_and_lose_it_is_disconnected(case: Case) -> None:
    worker = case.bot.worker
    for _ in range(MOVES.at_once):
        case.admission.of(case.bot, NotReady() if case.bot.worker.ready else Ready())
        case.bot.worker = worker if case.bot.worker.ready else Worker(State.RUNNING, 1, ready_at=1.0)
    assert case.admission.of(case.bot, NotReady()) == NotReady(), "nothing new costs nothing"
    with pytest.raises(ProtocolError, match="a minute"):
        case.admission.of(case.bot, Ready())
    assert not case.admission.may_move(case.bot, ready=True)
    case.now = 1.0
    assert case.admission.may_move(case.bot, ready=True)


def test_questions_beyond_the_share_are_answered_as_too_many(case: Case) -> None:
    for number in range(QUESTIONS.at_once):
        assert case.admission.of(case.bot, Ask(number, "uptime", b"")) is not None
    assert case.admission.of(case.bot, Ask(9999, "uptime", b"")) is None
    assert case.told == [Answered(9999, b"The bot asks for too much.", "busy")]


def test_bot_that_asks_for_one_reload_after_the_other_is_not_restarted_without_end(case: Case) -> None:
    let_in = [case.admission.of(case.bot, Ask(number, "restart", b"")) for number in range(100)]
    assert sum(message is not None for message in let_in) == RELOADS.at_once


def test_what_is_written_at_once_is_written_with_the_rest_when_it_comes_too_often(case: Case) -> None:
    assert case.bot.vitals.delivery is None
    same = Probed(None, "", 1.0)
    assert all(case.admission.of(case.bot, Probed("quiet", "", 1.0)) for _ in range(STATUSES.at_once))
    assert case.admission.of(case.bot, Probed("quiet", "", 1.0)) is None
    assert case.admission.of(case.bot, same) == same


def test_session_starts_that_nobody_granted_are_rows_too(case: Case) -> None:
    let_in = [case.admission.of(case.bot, IdentifiedAlone(0, 0.0)) for _ in range(1000)]
    assert 0 < sum(message is not None for message in let_in) <= 100


def test_heartbeats_have_no_share(case: Case) -> None:
    assert all(case.admission.of(case.bot, Beat(None)) for _ in range(100_000))


def test_a_removed_bot_is_forgotten(case: Case) -> None:
    for _ in range(20):
        case.happened(*["guild_joined"] * 100)
    case.admission.forget(case.bot.bot.id)
    case.admission.tell_left_out()
    assert case.noted == []
