"""`flotilla sandbox load` against an HTTP server that speaks the contract of /sandbox/load."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.cli.conftest import serve

Json = dict[str, Any]
TIMES = {"p50": 1.25, "p95": 12.0, "p99": 20.4, "max": 2999.6}


@dataclass
class FakeLoads:
    """The control API's loads: one that is over after `looks` looks, or goes on for ever."""

    url: str = ""
    looks: int = 2
    counts: Json = field(default_factory=lambda: {"answered": 8, "deferred": 1, "timed_out": 1, "not_connected": 0})
    received: list[tuple[str, str, Json]] = field(default_factory=list)
    state: str = "running"

    def answer(self, method: str, path: str, _query: dict[str, str], body: Json) -> tuple[int, Any]:
        self.received.append((method, path, body))
        if path == "/sandbox/applications":
            return 200, {"items": [{"id": "123456789012345678", "name": "alpha"}]}
        if path == "/sandbox/load" and method == "POST":
            if body["command"] == "nothing":
                error = {"code": "unknown_command", "message": "no such command 'nothing' is registered"}
                return 404, {"error": error}
            return 201, self._report()
        if path == "/sandbox/load":
            return 200, {"items": [self._report()]}
        if method == "DELETE":
            self.state = "stopped"
        self.looks -= 1
        if self.looks == 0:
            self.state = "done"
        return 200, self._report()

    def _report(self) -> Json:
        over = self.state != "running"
        counts = self.counts if over else dict.fromkeys(self.counts, 0)
        answered = counts["answered"] + counts["deferred"]
        return {
            "id": 3,
            "state": self.state,
            "sent": 10,
            "pending": 0 if over else 10,
            "elapsed_ms": TIMES if answered else None,
            "dispatched_per_s": 5.0,
        } | counts


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLoads]:
    made = FakeLoads()
    server = serve(made.answer)
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", f"{made.url}/api/v10")
    yield made
    server.shutdown()
    server.server_close()


def test_a_load_is_followed_and_its_figures_are_told(cli: Any, loads: FakeLoads) -> None:
    shape = ("--users", "20", "--rate", "2.5", "--seconds", "1m", "--bot", "alpha", "--seed", "7", "-o", "item=5")
    result = cli("sandbox", "load", "--command", "/stock show", *shape)
    assert result.code == 0, result.err
    assert ("POST", "/sandbox/load") in [call[:2] for call in loads.received]
    assert next(body for method, _, body in loads.received if method == "POST") == {
        "command": "stock show",
        "options": {"item": 5},
        "users": 20,
        "per_second": 2.5,
        "seconds": 60.0,
        "applications": ["123456789012345678"],
        "seed": 7,
    }
    lines = result.out.splitlines()
    assert lines[0].endswith("s: 10 sent, 0 answered, 10 pending …")
    assert lines[-7:] == [
        "Load 3 is done.",
        "sent           10  5.0 a second",
        "answered        8        80.0 %",
        "deferred        1        10.0 %",
        "timed out       1        10.0 %",
        "not connected   0         0.0 %",
        "To the first response: p50 1.2 ms, p95 12 ms, p99 20 ms, max 3000 ms.",
    ]


def test_all_connected_bots_are_meant_if_none_is_named_and_json_is_only_json(cli: Any, loads: FakeLoads) -> None:
    result = cli("sandbox", "load", "-c", "ping", "--json")
    assert json.loads(result.out)["elapsed_ms"] == TIMES
    assert {"applications", "seed"}.isdisjoint(loads.received[0][2])


def test_a_load_that_nobody_answered_ends_with_1(cli: Any, loads: FakeLoads) -> None:
    loads.counts = {"answered": 0, "deferred": 0, "timed_out": 10, "not_connected": 0}
    result = cli("sandbox", "load", "-c", "ping")
    assert result.code == 1
    assert result.out.endswith("Nobody answered.\n")


def test_a_load_that_cannot_be_is_one_sentence(cli: Any, loads: FakeLoads) -> None:
    result = cli("sandbox", "load", "-c", "nothing")
    assert (result.code, result.err) == (1, "flotilla: No such command 'nothing' is registered.\n")


def test_loads_are_listed_and_stopped(cli: Any, loads: FakeLoads) -> None:
    assert cli("sandbox", "loads").out.splitlines()[1].split() == ["3", "running", "10", "0", "0", "0", "-", "-", "-"]
    shown = cli("sandbox", "loads", "--stop", "3").out.splitlines()[1]
    assert shown.split() == ["3", "stopped", "10", "8", "1", "1", "1.2", "ms", "12", "ms", "3000", "ms"]


def test_an_interrupt_stops_the_load_and_tells_how_it_went(loads: FakeLoads) -> None:
    loads.looks = 1_000_000
    command = [sys.executable, "-m", "flotilla", "sandbox", "load", "-c", "ping", "--url", loads.url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert "10 sent" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "Load 3 is stopped." in out
    assert ("DELETE", "/sandbox/load/3") in [call[:2] for call in loads.received]
