from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.uptime import (
    SILENT_AFTER,
    TARGET,
    WINDOWS,
    Mark,
    Uptime,
    budget,
    burn_rate,
    expected_after,
    known_until,
    report,
    uptime,
)

END = datetime(2026, 1, 2, tzinfo=UTC)
DAY = timedelta(hours=24)
START = END - DAY
HOUR = timedelta(hours=1)


def mark(hours_ago: float, *, up: bool = False, expected: bool = True) -> Mark:
    return Mark(END - timedelta(hours=hours_ago), up, expected)


def day(*marks: Mark, known: datetime | None = None) -> Uptime:
    return uptime(marks, START, END, known)


# What counts ---------------------------------------------------------------------------------------------------------


def test_a_bot_that_was_always_up_has_full_uptime() -> None:
    assert day(mark(48, up=True)) == Uptime(up=DAY)
    assert day(mark(48, up=True)).ratio == 1.0


def test_an_hour_down_in_a_day_costs_its_share_to_the_microsecond() -> None:
    assert day(mark(30, up=True), mark(10), mark(9, up=True)) == Uptime(up=23 * HOUR, down=HOUR)


def test_time_in_which_nobody_wanted_the_bot_counts_neither_way() -> None:
    spent = day(mark(24, up=True), mark(12, expected=False))
    assert (spent, spent.ratio) == (Uptime(up=DAY / 2, unwanted=DAY / 2), 1.0)


def test_a_bot_that_was_never_wanted_has_no_ratio() -> None:
    for spent in (day(), day(mark(3, expected=False)), day(mark(-1, up=True))):
        assert (spent, spent.ratio) == (Uptime(unwanted=DAY), None)


def test_of_several_records_at_one_moment_the_last_given_holds() -> None:
    assert day(mark(48, up=True), mark(6), mark(6, up=True)).down == timedelta()
    assert day(mark(48, up=True), mark(6, up=True), mark(6)).down == 6 * HOUR


def test_up_without_a_supervisor_is_unknown_from_when_it_was_last_seen() -> None:
    known = END - 3 * HOUR
    assert day(mark(48, up=True), known=known) == Uptime(up=21 * HOUR, unknown=3 * HOUR)
    assert day(mark(48, up=True), known=END - 30 * HOUR) == Uptime(unknown=DAY)
    assert day(mark(1, up=True), known=known) == Uptime(unwanted=23 * HOUR, unknown=HOUR)


def test_down_without_a_supervisor_stays_down_since_nobody_heals_it() -> None:
    assert day(mark(48, up=True), mark(5), known=END - 3 * HOUR).down == 5 * HOUR


def test_a_supervisor_seen_lately_is_there() -> None:
    assert known_until(None, END) is None
    assert known_until(END - SILENT_AFTER, END) is None
    late = END - SILENT_AFTER - timedelta(microseconds=1)
    assert known_until(late, END) == late


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="ends after"):
        uptime([], END, START)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        # wanted, ready, reason of each transition; whether the bot is expected to be up after each
        ([(True, False, None), (True, True, None), (True, False, "killed"), (True, True, None)], [0, 1, 1, 1]),
        ([(True, False, None), (True, True, None), (False, False, None), (False, False, None)], [0, 1, 0, 0]),
        ([(True, False, None), (True, False, "startup_timeout"), (True, False, None)], [0, 1, 1]),
        (
            [(True, True, None), (True, False, "restart_requested"), (True, False, None), (True, True, None)],
            [1, 0, 0, 1],
        ),
        ([(True, False, None), (True, False, "restart_requested"), (True, False, None)], [0, 0, 0]),
        ([(True, False, "token_refused"), (True, False, None)], [1, 1]),
        ([(False, False, "killed"), (True, False, None)], [0, 0]),
    ],
    ids=[
        "healed",
        "stopped",
        "never up",
        "restart asked for",
        "restart of a first start",
        "fatal",
        "stopped in a crash",
    ],
)
def test_users_expect_a_wanted_bot_from_its_first_ready_or_failure_on(
    story: list[tuple[bool, bool, str | None]], expected: list[int]
) -> None:
    found, before = [], False
    for wanted, ready, reason in story:
        before = expected_after(before=before, wanted=wanted, ready=ready, reason=reason)
        found.append(int(before))
    assert found == expected


# Budget and burn rate ------------------------------------------------------------------------------------------------


def test_budget_of_thirty_days_at_the_default_target_is_three_hours_and_a_half() -> None:
    month = Uptime(up=timedelta(days=30) - HOUR, down=HOUR)
    left = budget(month, TARGET)
    assert left is not None
    assert left.allowed_s == pytest.approx(12_960)
    assert left.left_s == pytest.approx(9_360)
    assert left.left_ratio == pytest.approx(9_360 / 12_960)


def test_budget_is_of_the_time_that_counts() -> None:
    left = budget(Uptime(up=99 * HOUR, down=HOUR, unwanted=620 * HOUR), TARGET)
    assert left is not None
    assert left.left_s == pytest.approx(1800 - 3600)
    assert left.left_ratio == pytest.approx(-1)


def test_burn_rates_are_those_of_the_workbook() -> None:
    # 2 % of the budget of 30 days in an hour is a burn rate of 14.4: Workbook, chapter 5, "Alerting on Burn Rate".
    allowed_s = 30 * 86400 * (1 - TARGET)
    hour = Uptime(up=HOUR - timedelta(seconds=0.02 * allowed_s), down=timedelta(seconds=0.02 * allowed_s))
    assert burn_rate(hour, TARGET) == pytest.approx(14.4)
    assert burn_rate(Uptime(up=HOUR), TARGET) == 0
    assert burn_rate(Uptime(down=HOUR), TARGET) == pytest.approx(200)


def test_where_no_time_counts_nothing_is_said() -> None:
    assert budget(Uptime(unwanted=DAY), TARGET) is None
    assert burn_rate(Uptime(unknown=DAY), TARGET) is None


@pytest.mark.parametrize("target", [0.0, 1.0, 99.5, -1.0])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    for call in (budget, burn_rate):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call(Uptime(up=DAY), target)


# Whatever was recorded -----------------------------------------------------------------------------------------------

moments = st.integers(-(10**12), 10**12).map(lambda us: END + timedelta(microseconds=us))
near = st.sampled_from([END - timedelta(seconds=n) for n in range(6)])  # so that times are often the same
marks = st.lists(st.builds(Mark, moments | near, st.booleans(), st.booleans()), max_size=12)
known = st.none() | moments | near


@given(marks, moments | near, moments | near, known)
def test_the_parts_add_up_to_the_window_and_none_is_negative(
    rows: list[Mark], one: datetime, other: datetime, known: datetime | None
) -> None:
    start, end = sorted((one, other))
    spent = uptime(rows, start, end, known)
    parts = (spent.up, spent.down, spent.unwanted, spent.unknown)
    assert sum(parts, timedelta()) == end - start
    assert min(parts) >= timedelta()
    assert spent.ratio is None or 0 <= spent.ratio <= 1


@given(marks, st.lists(moments | near, min_size=2, max_size=6), known)
def test_splitting_a_window_changes_nothing(rows: list[Mark], cuts: list[datetime], known: datetime | None) -> None:
    cuts.sort()
    whole = uptime(rows, cuts[0], cuts[-1], known)
    parts = [uptime(rows, start, end, known) for start, end in pairwise(cuts)]
    assert sum(parts, Uptime()) == whole


@given(marks, moments | near, moments | near, moments | near, known)
def test_a_longer_window_has_no_less_of_anything(
    rows: list[Mark], one: datetime, two: datetime, three: datetime, known: datetime | None
) -> None:
    start, end, later = sorted((one, two, three))
    short, long = uptime(rows, start, end, known), uptime(rows, start, later, known)
    for part in ("up", "down", "unwanted", "unknown"):
        assert getattr(short, part) <= getattr(long, part)


@given(marks, moments | near, moments | near, known)
def test_marks_before_the_last_one_before_the_window_are_not_needed(
    rows: list[Mark], one: datetime, other: datetime, known: datetime | None
) -> None:
    start, end = sorted((one, other))
    since = max((row.at for row in rows if row.at < start), default=start)
    needed = [row for row in rows if row.at >= since]
    assert uptime(needed, start, end, known) == uptime(rows, start, end, known)


@given(marks, st.randoms(use_true_random=False), moments | near, moments | near, known)
def test_the_order_of_records_at_different_moments_does_not_matter(
    rows: list[Mark], random: Random, one: datetime, other: datetime, known: datetime | None
) -> None:
    rows = list({row.at: row for row in rows}.values())
    start, end = sorted((one, other))
    before = uptime(rows, start, end, known)
    random.shuffle(rows)
    assert uptime(rows, start, end, known) == before


@given(marks, moments | near, moments | near)
def test_time_that_no_supervisor_saw_is_taken_from_up_alone(rows: list[Mark], end: datetime, known: datetime) -> None:
    start, rows = end - DAY, [row for row in rows if row.at <= end]
    seen, unseen = uptime(rows, start, end), uptime(rows, start, end, known)
    assert (seen.down, seen.unwanted) == (unseen.down, unseen.unwanted)
    assert seen.up == unseen.up + unseen.unknown


@given(marks, st.floats(0.5, 0.99999))
def test_the_budget_is_overdrawn_exactly_when_the_target_is_missed(rows: list[Mark], target: float) -> None:
    spent = uptime(rows, START, END)
    left, rate = budget(spent, target), burn_rate(spent, target)
    if spent.ratio is None:
        assert (left, rate) == (None, None)
        return
    assert left is not None
    assert rate is not None
    if abs(spent.ratio - target) > 1e-9:
        assert (left.left_s < 0) == (spent.ratio < target) == (rate > 1) == (left.left_ratio < 0)


@given(marks, known)
def test_a_report_is_its_windows(rows: list[Mark], known: datetime | None) -> None:
    found = report(iter(rows), END, known)
    assert found.windows == {name: uptime(rows, END - length, END, known) for name, length in WINDOWS.items()}
    assert found.last_hour == uptime(rows, END - HOUR, END, known)
