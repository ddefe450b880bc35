from datetime import UTC, datetime, timedelta

import pytest

from flotilla.domain.bots import MAX_TAGS, Transition, parse_name, parse_tags, uptime_ratio
from flotilla.domain.worker import State
from flotilla.errors import FixInputError

END = datetime(2026, 1, 2, tzinfo=UTC)
START = END - timedelta(hours=24)


def moved(hours_ago: float, state: State, *, ready: bool = False) -> Transition:
    return Transition("1", END - timedelta(hours=hours_ago), state, ready, 1, None)


def test_a_bot_that_was_always_ready_has_full_uptime() -> None:
    assert uptime_ratio([moved(48, State.RUNNING, ready=True)], START, END) == 1.0


def test_an_hour_of_backoff_in_a_day_costs_its_share() -> None:
    rows = [
        moved(30, State.RUNNING, ready=True),
        moved(10, State.BACKOFF),
        moved(9, State.RUNNING, ready=True),
    ]
    assert uptime_ratio(rows, START, END) == pytest.approx(23 / 24)


def test_time_in_which_nobody_wanted_the_bot_does_not_count() -> None:
    rows = [moved(24, State.RUNNING, ready=True), moved(12, State.STOPPED)]
    assert uptime_ratio(rows, START, END) == 1.0


def test_a_running_bot_without_its_gateway_is_down() -> None:
    rows = [moved(24, State.RUNNING, ready=True), moved(6, State.RUNNING, ready=False)]
    assert uptime_ratio(rows, START, END) == pytest.approx(18 / 24)


def test_the_first_start_is_no_outage_but_a_healing_one_is() -> None:
    rows = [moved(20, State.STARTING), moved(19, State.RUNNING, ready=True)]
    assert uptime_ratio(rows, START, END) == 1.0
    healed = [*rows, moved(10, State.STARTING), moved(9, State.RUNNING, ready=True)]
    assert uptime_ratio(healed, START, END) == pytest.approx(18 / 19)


def test_a_bot_that_never_ran_has_no_uptime() -> None:
    assert uptime_ratio([], START, END) is None
    assert uptime_ratio([moved(3, State.STOPPED)], START, END) is None


def test_a_bot_added_just_now_is_judged_by_its_short_life() -> None:
    assert uptime_ratio([moved(0.01, State.RUNNING, ready=True)], START, END) == 1.0


@pytest.mark.parametrize("name", ["a", "shop-1", "shop.eu_2", "0" * 64])
def test_names_of_the_form_are_taken(name: str) -> None:
    assert parse_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "ä", "a/b", "../etc", "x" * 65, "a\n"])
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(FixInputError, match="1 to 64 lower-case"):
        parse_name(name)


def test_tags_are_sorted_and_kept_once() -> None:
    assert parse_tags(["b", "a", "b"]) == ("a", "b")


@pytest.mark.parametrize("tags", [["Not A Tag"], [f"t{n}" for n in range(MAX_TAGS + 1)]])
def test_malformed_or_too_many_tags_are_refused(tags: list[str]) -> None:
    with pytest.raises(FixInputError) as caught:
        parse_tags(tags)
    assert caught.value.code == "tag_invalid"
