"""`flotilla supervisor …` in this process, against an HTTP server that answers as the API does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from flotilla.cli.supervisor import preview
from flotilla.domain.bots import BotStatus
from flotilla.domain.worker import State
from flotilla.errors import RetryError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch import restart
from flotilla.launch.restart import Snapshot, compare
from flotilla.launch.supervisord import Program, Supervisord
from flotilla.settings import load_settings
from tests.integration.cli.conftest import FakeFleet, Json

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_rollover(state: str, **changes: Any) -> Json:
    row: Json = {
        "id": "ro-1",
        "state": state,
        "wave": 2,
        "total": 3,
        "moved": 1,
        "moving": 1,
        "old_server": 1,
        "new_server": 2,
        "reason": None,
        "details": None,
        "requested_by": "me",
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "finished_at": None,
    }
    return row | changes


# Roll-overs ----------------------------------------------------------------------------------------------------------


def test_a_rollover_shows_its_plan_asks_and_follows(cli: Any, fleet: FakeFleet) -> None:
    for name in ("a", "b", "c"):
        fleet.add(name)
    fleet.rollovers = [
        a_rollover("pending", moved=0),
        a_rollover("warming", moved=0),
        a_rollover("canary", moved=1),
        a_rollover("rolling", moved=2),
        a_rollover("done", moved=3),
    ]
    result = cli("supervisor", "rollover", stdin="y\n")
    assert result.code == 0, result.err
    assert "This moves 3 bots to the code as it is now, at most 1 at once." in result.out
    assert "First a alone, as a canary; waves of 1, 2. Watching takes 10 s." in result.out
    assert "costs no session start; 3 would be spent" in result.out
    assert "0 of 3 bots moved: a new fork server imports the code" in result.out
    assert "2 of 3 bots moved: wave 2" in result.out
    assert result.out.endswith("Done: 3 bots run the new code, from fork server 2.\n")


def test_bots_that_are_down_get_the_new_code_with_their_next_start(cli: Any, fleet: FakeFleet) -> None:
    fleet.rollovers = [a_rollover("done", moved=1)]
    result = cli("supervisor", "rollover", "--yes")
    assert result.out.endswith("The other 2 get it with their next start. See: flotilla bots ls\n")


def test_a_rollover_that_is_not_confirmed_begins_nothing(cli: Any, fleet: FakeFleet) -> None:
    assert cli("supervisor", "rollover", stdin="n\n").code == 1
    assert [body for _, _, body in fleet.received] == [{"dry_run": True}]


def test_a_rollover_need_not_be_waited_for(cli: Any, fleet: FakeFleet) -> None:
    fleet.rollovers = [a_rollover("pending")]
    result = cli("supervisor", "rollover", "--yes", "--no-wait")
    assert (result.code, "Roll-over ro-1 has begun." in result.out) == (0, True)
    assert "nothing is restarted" in result.out


def test_a_rollover_that_went_back_shows_the_reason_and_the_traceback(cli: Any, fleet: FakeFleet) -> None:
    fleet.rollovers = [
        a_rollover("rolling_back"),
        a_rollover("rolled_back", reason="a failed. Mend it.", details="Traceback\n  boom\n"),
    ]
    result = cli("supervisor", "rollover", "--yes")
    assert result.code == 1
    assert result.out.endswith("Traceback\n  boom\n")
    assert result.err == "a failed. Mend it.\nRoll-over ro-1 rolled back.\n"


def test_rollovers_are_listed_and_the_newest_explained(cli: Any, fleet: FakeFleet) -> None:
    assert "no roll-over yet" in cli("supervisor", "rollovers").out
    fleet.rollovers = [a_rollover("failed", reason="why", new_server=None), a_rollover("done", id="ro-0")]
    result = cli("supervisor", "rollovers")
    assert "1 of 3" in result.out
    assert "1 → ?" in result.out
    assert result.err == "why\n"


def test_the_preview_says_when_nothing_can_be_tried_and_shortens_long_lists() -> None:
    plan: Json = {
        "total": 9,
        "canary": None,
        "waves": [],
        "unjudged": 9,
        "in_motion": 1,
        "least_s": 0.0,
        "session_starts": 9,
    }
    lines = preview(plan)
    assert "No bot is READY and stable now: one must be before anything is moved." in lines
    assert "9 of them are not READY and stable; they move last." in lines
    waves = [2**number for number in range(10)]
    assert "1, 2, 4, 8, 16, 32, 64, 128 …" in preview(plan | {"waves": waves, "canary": "a"})[1]


# Restart -------------------------------------------------------------------------------------------------------------


def test_without_a_supervisord_a_restart_says_what_to_do(cli: Any, home: Path) -> None:
    result = cli("supervisor", "restart")
    assert result.code == 69
    assert f"No supervisord runs in {home}. Start the fleet with `flotilla up`" in result.err


def test_a_supervisor_that_supervisord_left_is_named(cli: Any) -> None:
    settings = load_settings()
    prepare_home(settings)
    lock = ProgramLock(settings, "supervisor")
    lock.acquire()
    result = cli("supervisor", "restart")
    lock.release()
    assert result.code == 69
    assert "Run `flotilla down`, then `flotilla up`." in result.err


class PlayedSupervisord(Supervisord):
    """A supervisord whose answers a test gives."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(Path("/no/such/socket"))
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def _call(self, method: str, *arguments: str | bool) -> Any:
        self.asked.append((method, *map(str, arguments)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def process_info(state: str, exit_status: int = 0) -> list[Json]:
    row = {
        "name": "supervisor",
        "statename": state,
        "pid": 0,
        "exitstatus": exit_status,
        "description": "",
        "group": "fleet",
    }
    return [row]


def test_a_program_is_stopped_and_started_by_its_full_name_without_waiting() -> None:
    supervisord = PlayedSupervisord(True)
    supervisord.stop("supervisor")
    supervisord.start("supervisor")
    assert supervisord.asked == [
        ("supervisor.stopProcess", "fleet:supervisor", "False"),
        ("supervisor.startProcess", "fleet:supervisor", "False"),
    ]


def test_a_program_that_is_there_already_or_gone_is_left_as_it_is() -> None:
    supervisord = PlayedSupervisord(Fault(70, "NOT_RUNNING: fleet:supervisor"))
    supervisord.stop("supervisor")
    supervisord.start("supervisor")


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([4711, process_info("STOPPING")], "program_stuck", "did not end within"),
        (
            [4711, True, process_info("STOPPED"), True, process_info("EXITED", 78)],
            "supervisor_not_back",
            "exit code 78",
        ),
        ([4711, True, process_info("STOPPED"), True, process_info("RUNNING")], "supervisor_not_back", "did not report"),
        ([Fault(6, "SHUTDOWN_STATE")], "supervisord_away", "shutting everything down"),
    ],
)
def test_a_restart_that_does_not_end_well_says_where_to_look(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], code: str, words: str
) -> None:
    async def nothing(_settings: object) -> Snapshot:
        return Snapshot({}, None)

    monkeypatch.setattr(restart, "Supervisord", lambda _path: PlayedSupervisord(*answers))
    monkeypatch.setattr(restart, "_look", nothing)
    monkeypatch.setattr(restart, "STOP_S", 0.2)
    monkeypatch.setattr(restart, "START_S", 0.2)
    with pytest.raises(RetryError, match=words) as raised:
        restart.restart_supervisor(load_settings(), lambda _line: None)
    assert raised.value.code == code


RUNNING = BotStatus(
    "1", State.RUNNING, ready=True, generation=3, pid=11, process_started_at=5, heartbeat_at=NOW - timedelta(seconds=9)
)


def snapshot(*statuses: BotStatus) -> Snapshot:
    return Snapshot({status.bot_id: (f"bot-{status.bot_id}", status) for status in statuses}, (1, NOW))


def test_bots_are_told_apart_by_process_generation_and_heartbeat() -> None:
    before = snapshot(*(replace(RUNNING, bot_id=str(number)) for number in range(6)), BotStatus("stopped"))
    after = snapshot(
        replace(RUNNING, bot_id="0", heartbeat_at=NOW),
        replace(RUNNING, bot_id="1"),
        replace(RUNNING, bot_id="2", generation=4),
        replace(RUNNING, bot_id="3", process_started_at=6),
        replace(RUNNING, bot_id="4", pid=None),
        BotStatus("stopped"),
    )
    compared = compare(before, after)
    assert (compared.kept, compared.heard) == (("bot-0", "bot-1"), ("bot-0",))
    assert (compared.restarted, compared.gone) == (("bot-2", "bot-3"), ("bot-4", "bot-5"))


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Snapshot, Snapshot], list[str]]:
    """Run a restart with what the database shows before and after; return what it says."""

    def run(before: Snapshot, after: Snapshot) -> list[str]:
        looks = [before]

        async def look(_settings: object) -> Snapshot:
            return looks.pop(0) if looks else after

        answers = (4711, True, process_info("STOPPED"), True, process_info("RUNNING"))
        monkeypatch.setattr(restart, "Supervisord", lambda _path: PlayedSupervisord(*answers))
        monkeypatch.setattr(restart, "_look", look)
        monkeypatch.setattr(restart, "HEARD_S", 0.2)
        said: list[str] = []
        restart.restart_supervisor(load_settings(), said.append)
        return said

    return run


def new_supervisor(*statuses: BotStatus) -> Snapshot:
    return replace(snapshot(*statuses), supervisor=(2, NOW))


def test_a_restart_tells_how_many_bots_were_kept(restarted: Callable[[Snapshot, Snapshot], list[str]]) -> None:
    said = restarted(snapshot(RUNNING), new_supervisor(replace(RUNNING, heartbeat_at=NOW)))
    assert "has adopted 1 bots." in said[1]
    assert said[2].startswith("All of them had spoken to it after")
    assert said[-1] == "No bot was restarted."


def test_a_restart_names_bots_that_are_silent(restarted: Callable[[Snapshot, Snapshot], list[str]]) -> None:
    said = restarted(snapshot(RUNNING), new_supervisor(RUNNING))
    assert said[2].startswith("bot-1 have not spoken to it yet")


def test_a_restart_that_lost_bots_is_an_error(restarted: Callable[[Snapshot, Snapshot], list[str]]) -> None:
    other = replace(RUNNING, bot_id="2")
    with pytest.raises(RetryError, match=r"1 have been restarted \(bot-1\), 1 have no process \(bot-2\)") as raised:
        restarted(snapshot(RUNNING, other), new_supervisor(replace(RUNNING, generation=4)))
    assert raised.value.code == "bots_not_kept"


def test_a_program_that_supervisord_does_not_know_is_not_taken_for_stopped() -> None:
    assert Program("x", "FATAL", None, 1, "", "fleet").given_up
    assert PlayedSupervisord([]).programs() == []
