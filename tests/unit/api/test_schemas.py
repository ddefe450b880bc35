"""What domain values look like on the wire."""

import msgspec
import pytest

from api.schemas import Bot, Operation
from flotilla.domain.bots import BotStatus, BotView
from flotilla.domain.operations import ItemState
from flotilla.domain.worker import State
from flotilla.queue import deserialize, serialize
from tests.builders import a_bot, an_operation


@pytest.mark.parametrize(
    ("counts", "progress"),
    [
        ({}, 1.0),
        ({ItemState.PENDING: 4}, 0.0),
        ({ItemState.RUNNING: 1, ItemState.SUCCEEDED: 3}, 0.75),
        ({ItemState.FAILED: 1, ItemState.SKIPPED: 1, ItemState.CANCELLED: 2}, 1.0),
    ],
)
def test_progress_counts_what_is_done_with(counts: dict[ItemState, int], progress: float) -> None:
    shown = Operation.of(an_operation(counts=counts))
    assert (shown.progress, shown.total) == (progress, sum(counts.values()))
    assert set(shown.counts) == set(ItemState)


def test_reason_that_this_release_does_not_know_keeps_its_code() -> None:
    bot = a_bot(1)
    shown = Bot.of(BotView(bot, BotStatus(bot.id, State.BACKOFF, reason="of_the_future")))
    assert shown.reason_code == "of_the_future"
    assert shown.reason


def test_selector_is_shown_with_all_as_it_is_asked_for() -> None:
    wire = msgspec.json.decode(msgspec.json.encode(Operation.of(an_operation())))
    assert wire["selector"]["all"] is True


def test_job_is_json_whatever_it_holds() -> None:
    raw = serialize({"f": "advance_operation", "a": ("x",), "r": ValueError("boom")})
    assert deserialize(raw) == {"f": "advance_operation", "a": ["x"], "r": "ValueError('boom')"}
