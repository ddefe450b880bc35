"""docs/supervision.md tells what the code does. UPDATE_DOCS=1 writes the generated parts anew."""

import os
import re
import signal
from pathlib import Path

import pytest

from flotilla.domain.diagnosis import exit_in_words
from flotilla.domain.happenings import KINDS
from flotilla.domain.lifecycle import IllegalTransition, step
from flotilla.domain.policy import Policy
from flotilla.domain.reasons import REASONS, reason_of_close_code, reason_of_exit, reason_of_status
from flotilla.domain.worker import (
    BecameReady,
    DeadlinePassed,
    Event,
    Exited,
    Failed,
    HandedOver,
    Heartbeat,
    HostMended,
    LostReady,
    MemoryExceeded,
    Renew,
    Restart,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
    Worker,
)

DOC = Path(__file__).parents[3] / "docs" / "supervision.md"
POLICY = Policy()
NOW = 1000.0
PIDS: dict[State, tuple[int | None, ...]] = {
    State.STARTING: (42, None),  # ordered, and perhaps not there yet
    State.RUNNING: (42,),
    State.STOPPING: (42, None),
}
EVENTS: tuple[Event, ...] = (
    Start(),
    Stop(),
    Restart(),
    Spawned(1, 42),
    SpawnFailed(1, 0.5),
    BecameReady(1),
    LostReady(1),
    Heartbeat(1),
    Failed(1, "crashed"),
    Renew(1, "deaf"),
    HandedOver(1),
    MemoryExceeded(1),
    Exited(1, 1, 0.5),
    HostMended(0.5),
    DeadlinePassed(0.5),
)


def workers() -> list[Worker]:
    """Return workers that differ in everything `step` looks at."""
    found = []
    for state in State:
        for pid in PIDS.get(state, (None,)):
            for failures in (0, 1, POLICY.max_failures):
                for restart, reason in (
                    (False, None),
                    (True, "restart_requested"),
                    (True, "crashed"),
                    (True, "token_refused"),
                ):
                    deadline = None if state in {State.STOPPED, State.FATAL} else NOW
                    found.append(Worker(state, 1, pid, deadline, failures, None, reason, restart, waits=failures))
    return found


def diagram() -> str:
    edges: dict[tuple[State, State], set[str]] = {}
    for worker in workers():
        for event in EVENTS:
            try:
                after, _ = step(worker, event, NOW, POLICY)
            except IllegalTransition:
                continue
            if after.state is not worker.state or after.generation != worker.generation:
                edges.setdefault((worker.state, after.state), set()).add(type(event).__name__)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> STOPPED"]
    order = list(State)
    for (before, after_state), names in sorted(edges.items(), key=lambda edge: [order.index(s) for s in edge[0]]):
        lines.append(f"    {before} --> {after_state}: {', '.join(sorted(names))}")
    return "\n".join([*lines, "```"])


def reasons() -> str:
    rows = [
        f"| `{row.code}` | {row.title} | {row.verdict.value} | {row.explanation} | {row.remedy} |"
        for row in REASONS.values()
    ]
    return "\n".join(["| Code | Title | Then | Means | Do |", "|---|---|---|---|---|", *rows])


def happenings() -> str:
    rows = [f"| `{row.code}` | {row.severity.value} | {row.title} | {row.remedy} |" for row in KINDS.values()]
    return "\n".join(["| Code | Severity | What | Do |", "|---|---|---|---|", *rows])


def faults() -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for code in (*range(4000, 4004), 4004, 4005, *range(4007, 4015)):
        found.setdefault(("gateway closed with", reason_of_close_code(code)), []).append(str(code))
    for status in (401, 403, 404, 429, 500, 502, 503):
        found.setdefault(("start refused with HTTP", reason_of_status(status)), []).append(str(status))
    faults = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
    for exit_code in (0, 1, 2, -signal.SIGKILL, -signal.SIGTERM, *(-number for number in faults), None):
        found.setdefault(("process ended with", reason_of_exit(exit_code)), []).append(exit_in_words(exit_code))
    rows = [
        f"| {what} {', '.join(codes)} | `{code}` | {REASONS[code].verdict.value} |"
        for (what, code), codes in found.items()
    ]
    return "\n".join(["| Fault | Reason | Then |", "|---|---|---|", *rows])


@pytest.mark.parametrize(
    ("mark", "generate"),
    [("diagram", diagram), ("reasons", reasons), ("happenings", happenings), ("faults", faults)],
)
def test_generated_parts_are_what_the_code_says(mark: str, generate: "object") -> None:
    assert callable(generate)
    text, expected = DOC.read_text(), generate()
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    wanted = pattern.sub(lambda match: f"{match[1]}{expected}\n{match[2]}", text)
    if os.environ.get("UPDATE_DOCS"):
        DOC.write_text(wanted)
        return
    assert text == wanted, "run the test once with UPDATE_DOCS=1"


def test_every_state_has_a_row_for_operators() -> None:
    assert all(f"| {state} |" in DOC.read_text() for state in State)
