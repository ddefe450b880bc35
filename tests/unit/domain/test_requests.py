"""The budget of invalid requests never counts too little, brakes in time, and holds back the worst bot first."""

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.discord import INVALID_REQUESTS_WINDOW_S as WINDOW_S
from flotilla.domain.requests import (
    BELIEVED_AT_ONCE,
    BIN_S,
    LIFT_RATIO,
    QUARANTINE_CAP_S,
    Brake,
    Budget,
    Ledger,
    Rules,
    Saved,
    bin_of,
    brake_at,
    to_quarantine,
)

RULES = Rules()
LEVELS = list(Brake)
NOW = 100_003.0


def report(budget: Budget, bot_id: str, count: int, now: float) -> None:
    """Let a bot have made so many more invalid requests just now, and be believed."""
    number = bin_of(now)
    before = {key[2]: key[3] for key in budget.ledger.entries() if key[0] == bot_id}.get(number, 0)
    budget.ledger.report(bot_id, 1, [(number, before + count)], now, math.inf)


# Counting ------------------------------------------------------------------------------------------------------------

Requests = st.lists(st.tuples(st.floats(0, 2000), st.sampled_from("abc"), st.integers(1, 2)), max_size=60)


@given(Requests, st.floats(0, 2000))
def test_window_never_holds_less_than_was_made_nor_what_is_a_bin_too_old(
    made: list[tuple[float, str, int]], now: float
) -> None:
    ledger = Ledger()
    counts: dict[tuple[str, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    past = sorted(each for each in made if each[0] <= now)
    for at, bot_id, generation in past:
        counts[bot_id, generation][bin_of(at)] += 1
        ledger.report(bot_id, generation, counts[bot_id, generation].items(), at)
        ledger.prune(at)
    true = sum(now - at < WINDOW_S for at, _, _ in past)
    at_most = sum(now - at <= WINDOW_S + BIN_S for at, _, _ in past)
    assert true <= ledger.total(now) <= at_most
    assert sum(ledger.of(bot_id, now) for bot_id in "abc") == ledger.total(now)


@given(st.permutations(list(range(6))), st.sets(st.integers(0, 5)))
def test_reports_that_are_late_repeated_or_lost_count_once(order: list[int], lost: set[int]) -> None:
    ledger, counts = Ledger(), {}
    reports = []
    for number in range(6):
        counts[bin_of(NOW) - number // 2] = 10 * (number + 1)
        reports.append(dict(counts))
    for number in [*(n for n in order if n not in lost), 5, 5]:
        ledger.report("a", 1, reports[number].items(), NOW)
    assert ledger.total(NOW) == sum(reports[5].values())


def test_generations_of_a_bot_add_up_and_the_address_remembers_bots_that_are_gone() -> None:
    ledger = Ledger()
    assert ledger.report("a", 1, [(bin_of(NOW), 5)], NOW) == 5
    assert ledger.report("a", 2, [(bin_of(NOW), 3)], NOW) == 3
    assert (ledger.total(NOW), ledger.of("a", NOW), ledger.of("b", NOW)) == (8, 8, 0)
    ledger.prune(NOW + WINDOW_S + 2 * BIN_S)
    assert (ledger.total(NOW + WINDOW_S + 2 * BIN_S), ledger.entries(), ledger.ever("a")) == (0, [], 8)


def test_bins_of_the_future_count_now_and_bins_behind_the_window_and_nonsense_do_not() -> None:
    ledger = Ledger()
    now = bin_of(NOW)
    nonsense = [(now + 99, 4), (now - 100, 50), (-7, 50), (now - 1, -3)]
    assert ledger.report("a", 1, nonsense, NOW) == 4
    assert ledger.total(NOW) == 4


# Braking -------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.sampled_from(LEVELS), st.integers(10, 10_000))
def test_brake_grows_with_the_count_and_with_the_brake_before(one: int, two: int, before: Brake, limit: int) -> None:
    rules = Rules(limit)
    low, high = (LEVELS.index(brake_at(total, rules, before)) for total in sorted((one, two)))
    assert low <= high
    levels = [LEVELS.index(brake_at(one, rules, each)) for each in LEVELS]
    assert levels == sorted(levels)


def test_brake_is_set_at_half_and_at_four_fifths_and_lifted_a_little_below() -> None:
    at = [brake_at(total, RULES, Brake.NONE) for total in (4_999, 5_000, 7_999, 8_000)]
    assert at == [Brake.NONE, Brake.SLOW, Brake.SLOW, Brake.VITAL]
    assert brake_at(int(8_000 * LIFT_RATIO), RULES, Brake.VITAL) is Brake.VITAL
    assert brake_at(int(8_000 * LIFT_RATIO) - 1, RULES, Brake.VITAL) is Brake.SLOW
    assert brake_at(int(5_000 * LIFT_RATIO), RULES, Brake.SLOW) is Brake.SLOW
    assert brake_at(int(5_000 * LIFT_RATIO) - 1, RULES, Brake.SLOW) is Brake.NONE


def test_bots_without_a_supervisor_stay_below_the_limit_together_with_what_sets_the_brake() -> None:
    assert [RULES.alone(bots) for bots in (0, 1, 4, 100, 1000)] == [1000, 1000, 1000, 40, 5]
    assert all(bots * RULES.alone(bots) + RULES.slow_at <= RULES.limit for bots in range(1, 1001))


# Quarantine ----------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 5000), max_size=20),
    st.integers(0, 12_000),
    st.integers(1, 30),
)
def test_worst_bots_are_held_back_until_the_rest_is_harmless_or_within_its_share(
    recent: dict[str, int], total: int, bots: int
) -> None:
    chosen = to_quarantine(recent, total, bots, RULES)
    rest = {bot_id: count for bot_id, count in recent.items() if bot_id not in chosen}
    fair = 500 / bots
    harmless = min(500.0, max(0.0, RULES.vital_at - total))
    assert sum(rest.values()) <= harmless or all(count <= fair for count in rest.values())
    assert all(recent[bot_id] > fair for bot_id in chosen)
    assert max(rest.values(), default=0) <= min(
        (recent[bot_id] for bot_id in chosen), default=max([0, *recent.values()])
    )


def test_nobody_is_held_back_below_the_brake() -> None:
    budget = Budget(RULES)
    report(budget, "a", 4_999, NOW)
    assert budget.judge(NOW, 10) == ([], [])


def test_one_that_hammers_is_held_back_and_those_within_their_share_are_not() -> None:
    budget = Budget(RULES)
    report(budget, "bad", 4_990, NOW)
    report(budget, "good", 10, NOW)
    assert budget.judge(NOW, 10) == (["bad"], [])
    assert budget.brake is Brake.SLOW
    assert budget.judge(NOW + 1, 10) == ([], [])


def test_quarantine_ends_after_its_time_and_the_next_one_lasts_twice_as_long() -> None:
    budget = Budget(RULES)
    now = NOW
    for period_s in (300.0, 600.0, 1200.0):
        report(budget, "bad", 5_000, now)
        assert budget.judge(now, 10)[0] == ["bad"]
        assert budget.quarantines["bad"].period_s == period_s
        assert budget.judge(now + period_s / 2, 10) == ([], [])
        assert budget.judge(now + period_s - 1, 10) == ([], [])
        now += period_s
        assert budget.judge(now, 10) == ([], ["bad"])
    assert Rules(quarantine_s=QUARANTINE_CAP_S).quarantine_s == QUARANTINE_CAP_S


def test_bot_that_is_released_is_not_held_back_again_for_what_it_did_before() -> None:
    budget = Budget(Rules(limit=100, quarantine_s=2.0))
    report(budget, "bad", 60, NOW)
    assert budget.judge(NOW, 2)[0] == ["bad"]
    assert budget.judge(NOW + 1, 2) == ([], [])
    assert budget.judge(NOW + 2, 2) == ([], ["bad"])
    assert budget.judge(NOW + 3, 2) == ([], [])
    report(budget, "bad", 10, NOW + 4)
    assert budget.judge(NOW + 4, 2) == (["bad"], [])


def test_bot_that_goes_on_while_it_is_held_back_is_not_released() -> None:
    budget = Budget(RULES)
    report(budget, "bad", 5_000, NOW)
    budget.judge(NOW, 10)
    budget.judge(NOW + 150, 10)
    report(budget, "bad", 100, NOW + 200)
    assert budget.judge(NOW + 300, 10) == ([], [])
    assert budget.judge(NOW + 450, 10) == ([], [])
    assert budget.judge(NOW + 600, 10) == ([], ["bad"])


# Keeping -------------------------------------------------------------------------------------------------------------


def a_budget() -> Budget:
    budget = Budget(RULES)
    for age_s, count in ((500.0, 100), (50.0, 3_000), (0.0, 5_000)):
        report(budget, "bad", count, NOW - age_s)
    budget.judge(NOW, 10)
    return budget


def test_next_supervisor_goes_on_where_the_one_before_stopped_and_workers_that_tell_again_count_once() -> None:
    before = a_budget()
    after = Budget(RULES)
    after.restore(before.saved(), 0.0, NOW)
    assert (after.ledger.total(NOW), after.brake, set(after.quarantines)) == (8_100, Brake.VITAL, {"bad"})
    again = [(number, count) for _, _, number, count in before.ledger.entries()]
    assert after.ledger.report("bad", 1, again, NOW) == 0
    assert after.saved() == before.saved()


@pytest.mark.parametrize("shift_s", [-100_000.0, -99_503.5, 77.7])
def test_after_another_boot_nothing_is_younger_than_it_was_made_and_nothing_is_lost(shift_s: float) -> None:
    after, now = Budget(RULES), NOW + shift_s
    after.restore(a_budget().saved(), shift_s, now)
    assert after.ledger.total(now) == 8_100
    later = now + WINDOW_S - 60
    assert 8_000 <= after.ledger.total(later) <= 8_100


def test_what_is_too_old_is_forgotten_and_a_quarantine_of_nonsense_is_not_believed() -> None:
    after = Budget(RULES)
    saved = Saved((("a", 1, bin_of(NOW), 50), ("b", 1, bin_of(NOW), -9)), (("a", 1e300, 300.0), ("b", NOW, -1.0)))
    after.restore(saved, -2 * WINDOW_S, NOW)
    assert after.ledger.total(NOW) == 0
    assert set(after.quarantines) == {"a"}
    assert after.quarantines["a"].until <= NOW + QUARANTINE_CAP_S


def test_a_lying_report_brakes_nobody_and_has_only_the_liar_held_back() -> None:
    budget = Budget(RULES)
    report(budget, "honest", 20, NOW)
    lie = [(bin_of(NOW) - age, 2**31 - 1) for age in range(60)]
    assert budget.report("liar", 1, lie, NOW) == BELIEVED_AT_ONCE
    assert budget.judge(NOW, 10) == (["liar"], [])
    assert budget.brake is Brake.NONE
    for second in range(60):
        budget.report("liar", 1, [(bin_of(NOW + second), 2**31 - 1 + second)], NOW + second)
        assert budget.judge(NOW + second, 10) == ([], [])
    assert budget.ledger.total(NOW + 60) <= 60 + 20
    assert budget.brake is Brake.NONE
    after = Budget(RULES)
    after.restore(budget.saved(), 0.0, NOW + 60)
    assert after.ledger.total(NOW + 60) == budget.ledger.total(NOW + 60)


def test_liar_that_begins_anew_with_each_process_brakes_nobody() -> None:
    budget = Budget(RULES)
    for generation in range(1, 200):
        now = NOW + generation
        budget.report("liar", generation, [(bin_of(now), BELIEVED_AT_ONCE - 1)], now)
        budget.judge(now, 10)
        assert budget.brake is Brake.NONE
    assert "liar" in budget.quarantines


@pytest.mark.parametrize("limit", [10, 500, 10_000])
def test_what_a_liar_told_leaves_the_sum_before_others_are_braked(limit: int) -> None:
    budget = Budget(Rules(limit))
    report(budget, "honest", 1, NOW)
    budget.report("liar", 1, [(bin_of(NOW), 2**31 - 1)], NOW)
    assert budget.judge(NOW, 10) == (["liar"], [])
    assert (budget.brake, budget.ledger.total(NOW)) == (Brake.NONE, 1)


def test_liar_that_goes_on_lying_while_it_is_held_back_is_not_released() -> None:
    budget = Budget(RULES)
    for minute in range(60):
        now = NOW + 60 * minute
        budget.report("liar", 1, [(bin_of(now), 2**31 - 1)], now)
        assert budget.judge(now, 10)[1] == []
    assert "liar" in budget.judge(NOW + 3 * 3600, 10)[1]


def test_what_a_bot_can_have_sent_is_believed() -> None:
    budget = Budget(RULES)
    told = 0
    for second in range(0, 60, 5):
        told += 250
        number = bin_of(NOW + second)
        before = {key[2]: key[3] for key in budget.ledger.entries()}.get(number, 0)
        assert budget.report("bad", 1, [(number, before + 250)], NOW + second) == 250
    assert budget.ledger.total(NOW + 60) == told
    assert not budget.ledger.liars
