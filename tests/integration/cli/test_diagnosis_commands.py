"""`flotilla logs`, `flotilla bots inspect`, `flotilla bots stacks`."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from rich.console import Console

from api.diagnosis_schemas import Limits
from flotilla.botlog import log_file, old_file, stamp
from flotilla.cli import inspect, memory
from flotilla.domain.policy import Policy
from flotilla.domain.vitals import Vitals
from tests.builders import A_REPORT, token_of
from tests.services import wait_until

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def logs(home: Path) -> Path:
    (home / "logs" / "bots").mkdir(parents=True)
    return home / "logs"


def wrote(logs: Path, name: str, *lines: str) -> Path:
    path = log_file(logs, name)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def at(minutes_ago: float) -> str:
    return stamp(time.time() - minutes_ago * 60)


def test_logs_shows_the_last_lines_without_secrets(cli: Any, logs: Path) -> None:
    path = wrote(logs, "shop", *(f"line {number}" for number in range(150)), f"oops {token_of(3)}")
    old_file(path, 1).write_text("older\n")
    out = cli("logs", "shop").out.splitlines()
    assert (len(out), out[0], out[-1]) == (100, "line 51", "oops [redacted]")
    assert cli("logs", "shop", "-n", "2").out.splitlines() == ["line 149", "oops [redacted]"]
    assert cli("logs", "shop", "-n", "152").out.splitlines()[0] == "older"


def test_logs_since_shows_what_is_new_enough(cli: Any, logs: Path) -> None:
    wrote(logs, "shop", f"{at(30)} INFO old", "printed then", f"{at(5)} INFO new", "printed now")
    out = cli("logs", "shop", "--since", "10m").out
    assert "new" in out
    assert "printed now" in out
    assert "old" not in out
    assert "printed then" not in out
    assert cli("logs", "shop", "--since", "10 minutes").code == 2


def test_logs_of_several_bots_are_in_the_order_of_time_with_names_in_front(cli: Any, logs: Path) -> None:
    wrote(logs, "shop", f"{at(3)} INFO one", f"{at(1)} INFO three")
    wrote(logs, "shop-eu", f"{at(2)} INFO two", "  more of two")
    out = cli("logs", "shop", "shop-eu").out.splitlines()
    assert [line.split("INFO ")[-1] for line in out] == ["one", "two", "shop-eu |   more of two", "three"]
    assert out[0].startswith("shop    | ")


def test_logs_of_a_bot_that_is_not_here_say_where_to_look(
    cli: Any, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cli("logs", "nemo")
    assert (result.code, "never run on this host" in result.err) == (1, True)
    assert "A name has" in cli("logs", "../../secrets").err
    wrote(logs, "shop", "line")
    monkeypatch.setenv("FLOTILLA_URL", "https://fleet.example")
    result = cli("logs", "shop")
    assert (result.code, "The fleet runs on fleet.example" in result.err, result.out) == (1, True, "")


def test_logs_follows_through_a_cut_until_it_is_interrupted(logs: Path, home: Path) -> None:
    path = wrote(logs, "shop", "before")
    output = home / "out"
    with (
        output.open("wb") as file,
        subprocess.Popen([sys.executable, "-m", "flotilla", "logs", "shop", "-f"], stdout=file, stderr=file) as process,
    ):
        try:
            wait_until(lambda: "before" in output.read_text(), "the old line is shown")
            with path.open("a") as writer:
                writer.write(f"during {token_of(1)}\n")
            wait_until(lambda: "during [redacted]" in output.read_text(), "the new line is shown")
            old_file(path, 1).write_bytes(path.read_bytes())
            os.truncate(path, 0)
            with path.open("a") as writer:
                writer.write("after\n")
            wait_until(lambda: "after" in output.read_text(), "the line after the cut is shown")
        finally:
            process.send_signal(2)
        assert process.wait(20) == 130
    assert output.read_text().splitlines() == ["before", "during [redacted]", "after"]


def test_what_a_stranger_wrote_does_not_steer_the_terminal(
    cli: Any, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote(logs, "shop", "\x1b]0;title\x07 \u009b31m tab\there \x1b[1;31mred\x1b[8mhidden")
    assert "\x1b]0;title" in cli("logs", "shop").out, "what is no terminal gets what was written"
    monkeypatch.setattr("flotilla.cli.terminal._is_terminal", lambda _: True)
    out = cli("logs", "shop").out
    assert "␛]0;title␇ \ufffd31m tab\there \x1b[1;31mred␛[8mhidden\x1b[0m\n" in out


def an_inspection(**bot: Any) -> dict[str, Any]:
    facts = {
        "name": "shop",
        "state": "RUNNING",
        "ready": True,
        "desired": "running",
        "since": "2026-05-01T11:58:00Z",
        "pid": 4711,
        "generation": 7,
        "memory_bytes": 13 * 1024 * 1024,
        "latency_ms": 41.6,
        "uptime_ratio_24h": 0.99,
    }
    end = {
        "generation": 6,
        "at": "2026-05-01T11:50:00Z",
        "how": "signal 9 (SIGKILL)",
        "reason": "event loop blocked",
        "tail": "\n".join(f'  File "/srv/{"deep/" * 20}bot.py", line {number}' for number in range(20)),
    }
    return {
        "bot": facts | bot,
        "limits": msgspec.to_builtins(Limits.of(Policy())),
        "vitals": msgspec.to_builtins(
            Vitals(
                invalid_requests_10m=812,
                quarantined=True,
                delivery="ok",
                quiet_s=12.3,
                responses=40,
                response_p95_ms=180.4,
            )
        ),
        "happenings": [{"at": "2026-05-01T11:00:00Z", "title": "session went deaf", "detail": {"quiet_s": 50.123}}],
        "restarts_24h": 3,
        "failures": 1,
        "heartbeat_at": "2026-05-01T11:59:57Z",
        "exits": [end, end | {"reason": None, "how": "exit code 0", "tail": ""}],
    }


def shown(found: dict[str, Any], open_files: int | None = 23) -> str:
    console = Console(width=inspect.WIDTH, markup=False, highlight=False)
    with console.capture() as captured:
        for part in inspect.inspection(found, "It blocks.", open_files, NOW):
            console.print(part)
    return captured.get()


def test_inspection_tells_everything_within_100_columns() -> None:
    text = shown(an_inspection(reason="event loop blocked", remedy="Mend it."))
    for part in (
        *("RUNNING", "2 min ago", "event loop blocked: It blocks.", "Mend it.", "4711", "open files: 23"),
        *("3 in the last 24 hours", "1 of 10 failures", "last heartbeat 3 s ago", "8 s", "gateway session is up"),
        *("13.0 MiB USS, 3% of its limit", "460.8 MiB soft, 512.0 MiB hard", "42 ms", "99.00 %", "99.50 %"),
        *("events come; silent for 12 s", "asked after 30 s, 2 x 10 s"),
        *("95 % of the last 40 within 180 ms", "2000 ms"),
        "1 h ago: session went deaf (quiet_s 50.1)",
        *("generation 6, 10 min ago: signal 9 (SIGKILL), event loop blocked", "8 lines before", "line 19"),
        "exit code 0, asked to stop",
        "812 in 10 min; held back",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_inspection_shows_session_starts_and_when_they_are_back() -> None:
    assert "50 kept for you" in shown(an_inspection())
    spent = {"session_starts_24h": 12, "session_starts_left": 988, "session_starts_total": 1000}
    text = shown(an_inspection() | {"vitals": spent | {"session_starts_back_at": "2026-05-02T08:00:00Z"}})
    assert "12 of 1,000 in 24 h, 988 left" in text
    assert "50 kept for you, back in 20 h 0 min" in text
    assert max(len(line) for line in text.splitlines()) <= inspect.WIDTH


def test_inspection_of_a_bot_that_does_not_run_shows_no_false_vitals() -> None:
    found = an_inspection(state="STOPPED", ready=False, pid=None, memory_bytes=None, latency_ms=None)
    text = shown(found | {"heartbeat_at": None, "exits": []}, None)
    assert "no gateway session" in text
    assert "It has never ended." in text
    assert "heartbeat 3 s" not in text
    assert "passed" not in text
    assert "events come" not in text
    assert "95 %" not in text


@pytest.mark.parametrize(
    ("delivery", "shows"),
    [
        ("quiet", "no event yet; silent for 70 s"),
        ("probing", "Discord was asked; silent"),
        ("deaf", "deaf; silent"),
        ("unprobed", "in no guild to ask about; silent"),
        ("of another release", "asked after"),
    ],
)
def test_inspection_says_whether_events_come(delivery: str, shows: str) -> None:
    found = an_inspection()
    found["vitals"] = msgspec.to_builtins(Vitals(delivery=delivery, quiet_s=70.0))
    assert shows in shown(found)


def test_inspection_of_a_bot_whose_delivery_probe_is_off_says_so() -> None:
    found = an_inspection()
    found["limits"]["delivery_probe"] = False
    assert "off" in shown(found)


def test_inspect_prints_json_with_the_open_files(cli: Any, fleet: Any) -> None:
    fleet.add("shop", pid=os.getpid())
    found = json.loads(cli("bots", "inspect", "shop", "--json").out)
    assert (found["bot"]["name"], found["open_files"]) == ("shop", None)  # this process is not that bot's
    out = cli("bots", "inspect", "shop").out
    assert "not readable" in out
    assert cli("bots", "inspect", "nemo").code == 1


def test_open_files_are_counted_of_the_bots_own_process_only() -> None:
    program = (
        "import setproctitle, time; setproctitle.setproctitle('flotilla: bot shop (generation 1)'); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            wait_until(lambda: inspect.count_open_files("shop", process.pid) is not None, "it has its title")
            assert (inspect.count_open_files("shop", process.pid) or 0) >= 3
            assert inspect.count_open_files("other", process.pid) is None
        finally:
            process.kill()
    assert inspect.count_open_files("shop", process.pid) is None


def test_stacks_waits_for_the_answer_to_its_own_request(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    fleet.stacks = [
        {"epoch": 1, "text": "stale", "fault": None},
        {"epoch": 2, "text": "in main\n", "fault": None},
    ]
    assert cli("bots", "stacks", "shop").out == "in main\n"


def test_stacks_that_cannot_be_had_are_a_sentence(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.add("shop")
    fleet.stacks = [{"epoch": 2, "text": None, "fault": "The bot has no process now."}]
    result = cli("bots", "stacks", "shop")
    assert (result.code, result.err) == (1, "flotilla: The bot has no process now.\n")
    monkeypatch.setattr(inspect, "STACKS_TIMEOUT_S", 0.3)
    fleet.stacks = [{"epoch": 1, "text": "stale", "fault": None}]
    assert "the supervisor is away or busy" in cli("bots", "stacks", "shop").err


def test_heap_shows_types_caches_and_lines(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    fleet.heap = {"epoch": 2, "fault": None, "report": msgspec.to_builtins(A_REPORT)}
    out = cli("bots", "heap", "shop", "--trace", "5").out
    assert fleet.heap_asked == [{"trace_s": 5.0}]
    for part in (
        *("13.4 MiB", "59.1 MiB", "8.6 MiB, 41000 of them tracked", "200 guilds, 4000 guild channels"),
        *(
            "one object in 2",
            "shop.Basket",
            "4000",
            "Allocated in 5 s and still there",
            "shop/baskets.py:12",
            "1.9 MiB",
        ),
    ):
        assert part in out, part
    plain = structs.replace(A_REPORT, one_in=1, allocations=None, caches={})
    fleet.heap = {"epoch": 2, "fault": None, "report": msgspec.to_builtins(plain)}
    out = cli("bots", "heap", "shop").out
    assert fleet.heap_asked[1] == {"trace_s": 0.0}
    assert ("nothing" in out, "one object in" in out, "Allocated" in out) == (True, False, False)
    assert json.loads(cli("bots", "heap", "shop", "--json").out)["report"]["objects"] == 41_000


def test_heap_that_cannot_be_had_is_a_sentence(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.add("shop")
    fleet.heap = {"epoch": 2, "report": None, "fault": "The bot has no process now."}
    result = cli("bots", "heap", "shop")
    assert (result.code, result.err) == (1, "flotilla: The bot has no process now.\n")
    monkeypatch.setattr(memory, "ANSWER_S", 0.3)
    fleet.heap = {"epoch": 1}
    assert "the supervisor is away or busy" in cli("bots", "heap", "shop").err
    assert cli("bots", "heap", "shop", "--trace", "1000").code == 2


def test_inspection_tells_when_memory_will_be_full() -> None:
    found = an_inspection()
    vitals = msgspec.to_builtins(Vitals(memory_slope_bytes_s=145_636.0, memory_full_in_s=2400.0))
    text = shown(found | {"vitals": vitals})
    assert "grows 500 MiB an hour" in text
    assert "full in 40 min 0 s" in text
    assert memory.growing({"memory_slope_bytes_s": 5.0}) == ""
