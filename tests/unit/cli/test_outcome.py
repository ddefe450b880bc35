from typing import Any

import pytest

from flotilla.cli.bots import _outcome

BEFORE: dict[str, Any] = {"state": "RUNNING", "ready": True, "generation": 4, "since": "a", "reason": None}


def bot(**changes: Any) -> dict[str, Any]:
    return BEFORE | changes


@pytest.mark.parametrize(
    ("action", "before", "now", "outcome"),
    [
        ("stop", bot(), bot(state="STOPPING", ready=False), None),
        ("stop", bot(), bot(state="STOPPED", ready=False), ""),
        ("start", bot(state="STOPPED", ready=False), bot(state="STARTING", ready=False), None),
        ("start", bot(state="STOPPED", ready=False), bot(generation=5), ""),
        ("start", bot(), bot(), ""),
        ("restart", bot(), bot(), None),
        ("restart", bot(), bot(generation=5, ready=False), None),
        ("restart", bot(), bot(generation=5), ""),
        ("start", bot(state="FATAL", ready=False), bot(state="FATAL", ready=False), None),
        ("start", bot(state="FATAL", ready=False), bot(state="FATAL", ready=False, generation=5), "gave up."),
        ("token", bot(state="FATAL", ready=False), bot(generation=5), ""),
        ("token", bot(), bot(state="FATAL", ready=False, since="b", reason="token refused"), None),
        ("token", bot(), bot(state="FATAL", ready=False, generation=5), "gave up."),
        (
            "restart",
            bot(),
            bot(state="FATAL", ready=False, since="b", reason="token refused", remedy="Get a new one."),
            "token refused. Get a new one.",
        ),
    ],
)
def test_what_was_asked_for_is_waiting_done_or_failed(
    action: str, before: dict[str, Any], now: dict[str, Any], outcome: str | None
) -> None:
    assert _outcome(action, before, now) == outcome
