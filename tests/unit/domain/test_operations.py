from datetime import UTC, datetime, timedelta

import pytest

from flotilla.domain.bots import BotStatus
from flotilla.domain.operations import (
    Item,
    ItemState,
    OperationState,
    Selector,
    Strategy,
    count_items,
    judge_item,
    may_begin,
    outcome,
)
from flotilla.domain.reasons import reason
from flotilla.domain.sessions import BUDGET_REASONS
from flotilla.domain.worker import State
from flotilla.errors import FixInputError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STRATEGY = Strategy(batch_size=2, item_timeout_s=60)


def items(*states: ItemState) -> list[Item]:
    return [Item(str(number), f"bot-{number}", state) for number, state in enumerate(states)]


def running(seconds: float = 1) -> Item:
    return Item("1", "bot", ItemState.RUNNING, None, 5, NOW - timedelta(seconds=seconds))


def test_an_item_succeeds_when_the_new_incarnation_is_ready() -> None:
    status = BotStatus("1", State.RUNNING, ready=True, epoch=5)
    assert judge_item(running(), status, NOW, STRATEGY) == (ItemState.SUCCEEDED, None)


def test_readiness_of_the_old_incarnation_does_not_count() -> None:
    status = BotStatus("1", State.RUNNING, ready=True, epoch=4)
    assert judge_item(running(), status, NOW, STRATEGY) == (ItemState.RUNNING, None)


def test_an_item_fails_with_the_reason_and_remedy_of_a_fatal_bot() -> None:
    status = BotStatus("1", State.FATAL, reason="token_refused", epoch=5)
    state, detail = judge_item(running(), status, NOW, STRATEGY)
    assert state is ItemState.FAILED
    assert detail is not None
    assert "token refused" in detail


def test_an_item_that_takes_too_long_fails_and_says_where_the_bot_is() -> None:
    status = BotStatus("1", State.BACKOFF, reason="crashed", epoch=5)
    state, detail = judge_item(running(60), status, NOW, STRATEGY)
    assert state is ItemState.FAILED
    assert detail is not None
    assert "BACKOFF (crashed)" in detail


def test_item_of_a_bot_that_is_stopped_midway_is_skipped_and_not_waited_for() -> None:
    stopping = BotStatus("1", State.STOPPING, epoch=5)
    assert judge_item(running(), stopping, NOW, STRATEGY, wanted=False)[0] is ItemState.SKIPPED
    assert judge_item(running(60), stopping, NOW, STRATEGY, wanted=False)[0] is ItemState.SKIPPED
    was_ready = BotStatus("1", State.RUNNING, ready=True, epoch=5)
    assert judge_item(running(), was_ready, NOW, STRATEGY, wanted=False)[0] is ItemState.SUCCEEDED


def test_no_more_items_are_in_motion_than_the_batch_allows() -> None:
    assert may_begin(items(ItemState.PENDING, ItemState.PENDING, ItemState.PENDING), STRATEGY) == 2
    assert may_begin(items(ItemState.RUNNING, ItemState.PENDING, ItemState.PENDING), STRATEGY) == 1
    assert may_begin(items(ItemState.RUNNING, ItemState.RUNNING, ItemState.PENDING), STRATEGY) == 0


@pytest.mark.parametrize("code", sorted(BUDGET_REASONS))
def test_bot_that_waits_for_session_starts_has_failed_and_does_not_hang(code: str) -> None:
    item = Item("1", "bot", ItemState.RUNNING, target_epoch=2, started_at=NOW)
    waiting = BotStatus("1", State.BACKOFF, reason=code, epoch=2)
    state, detail = judge_item(item, waiting, NOW, STRATEGY)
    assert state is ItemState.FAILED
    assert reason(code).title in (detail or "")
    before = BotStatus("1", State.BACKOFF, reason=code, epoch=1)
    assert judge_item(item, before, NOW, STRATEGY)[0] is ItemState.RUNNING


def test_nothing_begins_after_too_many_failures() -> None:
    strategy = Strategy(batch_size=5, max_failures=1)
    assert may_begin(items(ItemState.FAILED, ItemState.PENDING), strategy) == 0
    state, detail = outcome(items(ItemState.FAILED, ItemState.PENDING), strategy)
    assert state is OperationState.FAILED
    assert detail is not None
    assert "after 1 failures" in detail


def test_an_operation_ends_when_its_items_have() -> None:
    assert outcome(items(ItemState.SUCCEEDED, ItemState.SKIPPED), STRATEGY)[0] is OperationState.SUCCEEDED
    assert outcome(items(ItemState.SUCCEEDED, ItemState.FAILED), STRATEGY)[0] is OperationState.FAILED
    assert outcome(items(ItemState.SUCCEEDED, ItemState.RUNNING), STRATEGY)[0] is OperationState.RUNNING
    assert outcome(items(ItemState.SUCCEEDED, ItemState.PENDING), STRATEGY)[0] is OperationState.RUNNING


def test_counts_leave_out_states_without_items() -> None:
    assert count_items(items(ItemState.PENDING, ItemState.PENDING)) == {ItemState.PENDING: 2}


@pytest.mark.parametrize("faulty", [{}, {"ids": ("1",), "everything": True}])
def test_a_selector_says_which_bots_or_all_but_never_nothing(faulty: dict[str, object]) -> None:
    with pytest.raises(FixInputError, match="Say which bots"):
        Selector(**faulty)  # type: ignore[arg-type]


@pytest.mark.parametrize("faulty", [{"batch_size": 0}, {"item_timeout_s": 0}, {"max_failures": 0}])
def test_a_strategy_that_never_begins_or_ends_is_refused(faulty: dict[str, int]) -> None:
    with pytest.raises(FixInputError) as caught:
        Strategy(**faulty)
    assert caught.value.code == "strategy_invalid"
