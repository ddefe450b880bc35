"""What users do is written down once, told until it is safe, and never without bound."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flotilla.domain.command_logs import REDACTED, CommandLog, Kind, Outcome
from flotilla.protocol import CommandsRan
from worker_bot import answering, authoring
from worker_bot import command_logs as module
from worker_bot.command_logs import CommandLogs
from worker_bot.guard import Outcome as Verdict
from worker_bot.interactions import name_of, options_of
from worker_bot.telling import AGAIN_S


def payload(interaction_id: int = 1, kind: int = 2, **fields: Any) -> dict[str, Any]:
    data = {"name": "shop", "options": [{"type": 1, "name": "buy", "options": [{"name": "item", "value": "🍕"}]}]}
    return {
        "id": str(interaction_id),
        "type": kind,
        "data": data,
        "guild_id": "8",
        "channel_id": "9",
        "member": {"user": {"id": "7"}},
        **fields,
    }


@dataclass
class Supervisor:
    """What a supervisor is told. there: whether it can be reached."""

    there: bool = True
    heard: list[CommandsRan] = field(default_factory=list)

    def send(self, message: CommandsRan) -> bool:
        if self.there:
            self.heard.append(message)
        return self.there

    def logs(self) -> list[CommandLog]:
        return [log for message in self.heard for log in message.logs]


class Case:
    """The logs of one bot, a clock that is set, and its supervisor."""

    def __init__(self, left: Path | None = None) -> None:
        self.now = 1000.0
        self.supervisor = Supervisor()
        self.left = left
        self.restart()

    def restart(self) -> None:
        self.logs = CommandLogs(self.supervisor.send, self.left, lambda: self.now)

    def use(self, interaction_id: int = 1, **fields: Any) -> None:
        """A user uses a command whose code takes 5 ms to answer and 20 ms in all."""
        self.logs.arrived(payload(interaction_id, **fields))
        self.logs.entered(interaction_id)
        self.now += 0.005
        self.logs.accepted(interaction_id)
        self.now += 0.015
        self.logs.left(interaction_id)

    def judge(self, what: str, interaction_id: int = 1, reference: str = "", error: str = "") -> None:
        self.logs.judged(Verdict(interaction_id, answering.Kind.COMMAND, "shop buy", what, reference, error))

    def told(self) -> CommandLog:
        """Return the one log that the supervisor is told of now."""
        self.logs.tell()
        (log,) = self.supervisor.logs()
        return log


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "left")


def test_a_command_is_told_with_who_where_what_and_how_long(case: Case) -> None:
    case.use()
    log = case.told()
    assert (log.kind, log.name, log.options, log.outcome) == (
        Kind.COMMAND,
        "shop buy",
        {"item": "🍕"},
        Outcome.ANSWERED,
    )
    assert (log.interaction_id, log.user_id, log.guild_id, log.channel_id) == (1, 7, 8, 9)
    assert (log.first_ms, log.total_ms, log.deferred) == (5.0, 20.0, False)


def test_what_was_declared_sensitive_is_not_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authoring, "_sensitive", {})
    authoring.sensitive("shop buy", "item")
    case.use()
    assert case.told().options == {"item": REDACTED}


def test_a_deferred_answer_and_a_late_one(case: Case) -> None:
    case.logs.arrived(payload())
    case.logs.entered(1)
    case.now += 1.8
    case.judge("deferred")
    case.now += 5
    case.logs.tell()
    assert case.supervisor.heard == [], "it still runs"
    case.logs.accepted(1)
    case.logs.left(1)
    log = case.told()
    assert (log.outcome, log.deferred, log.first_ms, log.total_ms) == (Outcome.ANSWERED, True, 1800.0, 6800.0)


def test_an_exception_is_told_with_the_reference_that_the_user_has(case: Case) -> None:
    case.logs.arrived(payload())
    case.logs.entered(1)
    case.logs.raised(1, KeyError("secret"))
    case.judge("failed", reference="K7QW3M2A", error="KeyError")
    case.logs.left(1)
    log = case.told()
    assert (log.outcome, log.error, log.reference, log.first_ms) == (Outcome.FAILED, "KeyError", "K7QW3M2A", None)


def test_what_is_never_answered_is_told_when_it_cannot_be_any_more(case: Case) -> None:
    case.logs.arrived(payload())
    case.logs.entered(1)
    case.logs.left(1)
    case.now += 2.9
    case.logs.tell()
    assert case.supervisor.heard == []
    case.now += 0.2
    assert case.told().outcome is Outcome.UNANSWERED


def test_a_deferral_that_nobody_fills_waits_for_the_guards_verdict(case: Case) -> None:
    case.logs.arrived(payload())
    case.logs.entered(1)
    case.judge("deferred")
    case.judge("remade")
    case.logs.left(1)
    case.now += 9
    case.logs.tell()
    assert case.supervisor.heard == []
    case.judge("unanswered", reference="K7QW3M2A")
    assert (case.told().outcome, case.told().reference) == (Outcome.UNANSWERED, "K7QW3M2A")


def test_a_component_that_was_acknowledged_for_the_code_has_no_verdict_to_wait_for(case: Case) -> None:
    case.logs.arrived(payload(kind=3) | {"data": {"custom_id": "buy:7"}})
    case.logs.entered(1)
    case.judge("deferred")
    case.logs.left(1)
    case.now += 3
    assert (case.told().outcome, case.told().deferred) == (Outcome.UNANSWERED, True)


def test_what_came_too_late_is_told_though_no_code_ran(case: Case) -> None:
    case.logs.arrived(payload())
    case.judge("too_late")
    assert (case.told().outcome, case.told().total_ms) == (Outcome.LATE, None)


def test_nobody_is_told_of_what_is_no_interaction(case: Case) -> None:
    for nonsense in ({}, {"type": 2}, payload(kind=1), payload(member=None), payload() | {"data": 3}, None):
        case.logs.arrived(nonsense)
    for unknown in (case.logs.entered, case.logs.left, case.logs.accepted):
        unknown(5)
    case.logs.raised(5, ValueError())
    case.judge("failed", 5)
    case.now += 1000
    case.logs.tell()
    assert case.supervisor.heard == []


def test_a_batch_is_told_again_until_it_is_safe(case: Case) -> None:
    case.supervisor.there = False
    case.use(1)
    case.logs.tell()
    case.supervisor.there = True
    case.use(2)
    case.logs.tell()
    (first,) = case.supervisor.heard
    assert [log.interaction_id for log in first.logs] == [1], "a batch stays as it was when it was made"
    case.logs.tell()
    assert len(case.supervisor.heard) == 1
    case.now += AGAIN_S
    case.logs.tell()
    assert case.supervisor.heard == [first, first]
    case.logs.stored(first.number + 1)
    case.logs.stored(first.number)
    case.logs.stored(first.number)
    assert [log.interaction_id for log in case.supervisor.heard[-1].logs] == [2]


def test_logs_are_bounded_and_what_is_lost_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 5)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    case.restart()
    for number in range(3):
        case.use(number)
    case.logs.tell()
    for number in range(3, 10):
        case.use(number)
    while (batch := case.logs._telling._batch) is not None:
        case.logs.stored(batch.number)
    assert [log.interaction_id for log in case.supervisor.logs()] == [0, 1, 7, 8, 9]
    assert [message.lost for message in case.supervisor.heard] == [0, 5, 0]


def test_open_logs_are_bounded(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    for number in range(5):
        case.logs.arrived(payload(number))
    case.logs.tell()
    assert [log.interaction_id for log in case.supervisor.logs()] == [0, 1]


def test_the_next_worker_tells_what_was_not_safe(case: Case) -> None:
    case.use(1)
    case.logs.tell()
    case.use(2)
    case.logs.arrived(payload(3))
    case.logs.leave()
    assert case.left is not None
    assert case.left.stat().st_mode & 0o777 == 0o600
    case.restart()
    case.logs.tell()
    again = case.supervisor.heard[-1]
    assert [log.interaction_id for log in again.logs] == [1, 2, 3]
    assert {log.id for log in case.supervisor.heard[0].logs} <= {log.id for log in again.logs}, "so each is kept once"
    case.logs.stored(again.number)
    assert not case.left.exists()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x93abc"])
def test_a_damaged_file_costs_only_itself(case: Case, damage: bytes) -> None:
    assert case.left is not None
    case.left.write_bytes(damage)
    case.restart()
    case.use()
    assert case.told().interaction_id == 1


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    case = Case(tmp_path / "gone" / "left")
    case.supervisor.there = False
    case.use()
    case.logs.leave()
    case.restart()


@pytest.mark.parametrize(
    ("data", "name", "options"),
    [
        ({"name": "ping"}, "ping", {}),
        ({"name": "Report", "type": 3, "target_id": "5"}, "Report", {"target": "5"}),
        ({"custom_id": "buy:7", "component_type": 2}, "buy:7", {}),
        ({"custom_id": "pick", "component_type": 3, "values": ["a", "b"]}, "pick", {"values": "a, b"}),
        (
            {
                "custom_id": "form",
                "components": [
                    {"type": 1, "components": [{"type": 4, "custom_id": "why", "value": "because"}]},
                    {"type": 18, "component": {"type": 3, "custom_id": "how", "values": ["fast"]}},
                ],
            },
            "form",
            {"why": "because", "how": "fast"},
        ),
        (
            {"name": "a", "options": [{"type": 2, "name": "b", "options": [{"type": 1, "name": "c", "options": []}]}]},
            "a b c",
            {},
        ),
    ],
)
def test_names_and_options_of_all_that_users_do(data: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    assert (name_of({"data": data}), options_of({"data": data})) == (name, options)
