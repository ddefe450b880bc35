"""What follows from a worker's memory. The series are made up, their clock too."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flotilla.domain.growth import POINTS, History
from flotilla.domain.memory import (
    FASTEST_BYTES_S,
    LONGEST_S,
    WORTH_S,
    Finding,
    Memory,
    Reading,
    judge,
    next_look_s,
)
from flotilla.domain.policy import MIB, Policy

Series = Callable[[float], float]
"""MiB used at a second."""

POLICY = Policy(memory_limit_bytes=512 * MIB, memory_soft_ratio=0.9, memory_soft_for_s=5, memory_forecast_s=3600)


class Run:
    """Looks at a series as the supervisor does. latency_s: what each look comes late by."""

    def __init__(self, policy: Policy = POLICY, latency_s: float = 0.0) -> None:
        self.policy = policy
        self.latency_s = latency_s
        self.memory = Memory(generation=1)
        self.found: list[tuple[float, Finding]] = []
        self.looks = 0
        self.peak = 0

    def until(self, end: float, series: Series, begin: float = 0.0, stop_at: Finding | None = None) -> "Run":
        at = begin
        while at < end:
            used = int(series(at) * MIB)
            self.peak, self.looks = max(self.peak, used), self.looks + 1
            self.memory, finding = judge(self.memory, Reading(at, used), self.policy)
            if finding is not Finding.FINE:
                self.found.append((at, finding))
            if finding is stop_at:
                break
            at += next_look_s(self.memory, used, self.policy) + self.latency_s
        return self

    @property
    def findings(self) -> list[Finding]:
        return [finding for _, finding in self.found]


def limit(megabytes: int) -> Policy:
    return replace(POLICY, memory_limit_bytes=megabytes * MIB)


def linear(mib_s: float, base: float = 12.0) -> Series:
    return lambda at: base + mib_s * at


# The limit ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    megabytes=st.integers(64, 4096),
    mib_s=st.floats(20, FASTEST_BYTES_S / MIB),
    base=st.floats(5, 60),
    late=st.floats(0, 1),
    ratio=st.sampled_from([0.5, 0.9, 1.0]),
)
def test_no_leak_up_to_100_mib_s_gets_past_its_limit_by_more_than_5_percent(
    megabytes: int, mib_s: float, base: float, late: float, ratio: float
) -> None:
    """Also if every look comes late: by up to half of the 5 %, or what the shortest wait leaves of it."""
    policy = replace(limit(megabytes), memory_soft_ratio=ratio)
    run = Run(policy, late * 0.0125 * megabytes / 100)
    run.until(math.inf, linear(mib_s, base), stop_at=Finding.EXCEEDED)
    assert megabytes * MIB < run.peak <= 1.05 * megabytes * MIB


@given(megabytes=st.integers(64, 4096), used=st.floats(0, 1.2), mib_s=st.floats(0, 1000))
def test_every_wait_is_within_its_bounds(megabytes: int, used: float, mib_s: float) -> None:
    policy = limit(megabytes)
    memory = Memory(pace=tuple((float(at), int(at * mib_s * MIB)) for at in range(3)))
    assert 0.01 <= next_look_s(memory, int(used * megabytes * MIB), policy) <= LONGEST_S


def test_a_worker_at_rest_is_looked_at_every_two_seconds_and_one_with_a_large_limit_every_ten() -> None:
    assert 2 < next_look_s(Memory(), 12 * MIB, POLICY) < 3
    assert next_look_s(Memory(), 12 * MIB, limit(8192)) == LONGEST_S


def test_a_single_jump_is_no_rate_and_steady_growth_is() -> None:
    jumped = Memory(pace=((0, 10 * MIB), (1, 60 * MIB), (2, 60 * MIB)))
    growing = Memory(pace=((0, 10 * MIB), (1, 60 * MIB), (2, 110 * MIB)))
    assert (jumped.rate_bytes_s, growing.rate_bytes_s) == (0, 50 * MIB)


def test_readings_at_the_same_instant_are_no_division_by_zero() -> None:
    memory = Memory(generation=1)
    for used in (10, 20, 30, 40):
        memory, _ = judge(memory, Reading(5.0, used * MIB), POLICY)
    assert memory.rate_bytes_s == 0


# The soft limit -------------------------------------------------------------------------------------------------------


def test_worker_above_its_soft_limit_for_long_enough_is_renewed() -> None:
    run = Run().until(3600, linear(0.5), stop_at=Finding.RENEW)
    assert run.findings[-1] is Finding.RENEW
    crossed = (460.8 - 12) / 0.5
    assert crossed + 5 <= run.found[-1][0] < crossed + 6


def test_worker_that_would_not_wait_is_renewed_at_once() -> None:
    run = Run().until(60, linear(50), stop_at=Finding.RENEW)
    assert run.findings == [Finding.RENEW]
    assert 460 * MIB < run.peak < 490 * MIB


def test_short_visit_above_the_soft_limit_changes_nothing() -> None:
    assert Run().until(60, lambda at: 480 if 20 < at < 23 else 100).findings == []


def test_estimate_decides_nothing() -> None:
    memory, finding = judge(Memory(generation=1), Reading(0, 600 * MIB, exact=False), POLICY)
    assert (finding, memory.above_since) == (Finding.FINE, None)


def test_worker_that_cannot_be_renewed_now_is_renewed_when_it_can() -> None:
    memory = Memory(generation=1)
    for at in (0, 6, 12):
        memory, finding = judge(memory, Reading(at, 480 * MIB, renewable=False), POLICY)
        assert finding is Finding.FINE
    assert judge(memory, Reading(13, 480 * MIB), POLICY)[1] is Finding.RENEW


def test_renewal_that_was_asked_for_is_asked_for_once() -> None:
    assert Run().until(60, lambda _: 480).findings == [Finding.RENEW]


def test_bot_above_its_soft_limit_from_its_start_is_renewed_once_and_never_again() -> None:
    run = Run().until(60, lambda _: 480)
    for generation in range(2, 6):
        run.memory = run.memory.of(generation)
        begin = 60 + 1000.0 * (generation - 2)
        run.until(begin + 900, lambda _: 480, begin=begin)
    assert run.findings == [Finding.RENEW, Finding.STUCK]


def test_bot_that_could_not_be_helped_is_helped_again_once_it_has_been_well() -> None:
    memory = Memory(renewed_at=0, helpless=True, generation=2)
    memory, _ = judge(memory, Reading(1000, 10 * MIB, settled=False), POLICY)
    assert memory.helpless, "what it uses while it starts says nothing"
    memory, _ = judge(memory, Reading(1100, 400 * MIB), POLICY)
    for at in (1200, 1206):
        memory, finding = judge(memory, Reading(at, 480 * MIB), POLICY)
    assert finding is Finding.RENEW


@settings(max_examples=10, deadline=None)
@given(mib_s=st.floats(0.05, 20), base=st.floats(10, 500))
def test_restarts_for_memory_are_at_most_twelve_an_hour(mib_s: float, base: float) -> None:
    """Each renewal takes the worker back to where it began; each end by the hard limit too."""
    memory, at = Memory(), 0.0
    renewed: list[float] = []
    for generation in range(1, 12):
        memory, began = memory.of(generation), at
        while at - began < 3600:
            used = int((base + mib_s * (at - began)) * MIB)
            memory, finding = judge(memory, Reading(at, used), POLICY)
            at += 3
            if finding is Finding.RENEW:
                renewed.append(at)
            if finding in {Finding.RENEW, Finding.EXCEEDED}:
                break
    assert all(later - earlier >= WORTH_S for earlier, later in pairwise(renewed))


def test_renewal_is_repeated_when_the_one_before_was_worth_it() -> None:
    memory = Memory(renewed_at=1000, generation=2)
    for at in (1000 + WORTH_S, 1000 + WORTH_S + 6):
        memory, finding = judge(memory, Reading(at, 480 * MIB), POLICY)
    assert finding is Finding.RENEW


def test_without_a_soft_limit_only_the_hard_one_acts() -> None:
    run = Run(replace(POLICY, memory_soft_ratio=1.0)).until(3600, linear(1), stop_at=Finding.EXCEEDED)
    assert [finding for finding in run.findings if finding is not Finding.FORETOLD] == [Finding.EXCEEDED]


def test_policy_that_changes_holds_with_the_next_reading() -> None:
    run = Run().until(20, lambda _: 300)
    run.policy = limit(256)
    assert run.until(21, lambda _: 300, begin=20, stop_at=Finding.EXCEEDED).findings == [Finding.EXCEEDED]


# The forecast ---------------------------------------------------------------------------------------------------------


def noisy(series: Series, share: float, seed: int) -> Series:
    draw = random.Random(seed)
    return lambda at: series(at) + draw.random() * share


@pytest.mark.parametrize("minutes", [10, 30, 50, 90])
@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_leak_is_foretold_with_time_to_spare(minutes: int, noise: float) -> None:
    mib_s = 500 / (minutes * 60)
    run = Run().until(minutes * 60, noisy(linear(mib_s), noise, minutes), stop_at=Finding.FORETOLD)
    ((at, finding),) = run.found
    assert finding is Finding.FORETOLD
    assert at <= max(0.25 * minutes * 60, minutes * 60 - 3600) + 120, "when a quarter has passed, or an hour is left"
    assert run.memory.trend is not None
    assert run.memory.trend.full_in_s == pytest.approx(minutes * 60 - at, rel=0.25)


def test_leak_that_begins_after_hours_of_rest_is_foretold() -> None:
    run = Run().until(3 * 3600, lambda _: 60)
    begin = 3 * 3600
    run.until(begin + 2500, lambda at: 60 + 0.18 * (at - begin), begin=begin, stop_at=Finding.FORETOLD)
    ((at, _),) = run.found
    assert at - begin < 1000


@settings(max_examples=25, deadline=None)
@given(tau_s=st.floats(10, 5000), share=st.floats(0.1, 0.75))
def test_cache_that_fills_and_levels_off_below_the_limit_is_never_foretold(tau_s: float, share: float) -> None:
    full = share * 512 - 12
    run = Run().until(min(8 * tau_s, 6000), lambda at: 12 + full * (1 - math.exp(-at / tau_s)))
    assert run.findings == []


@pytest.mark.parametrize("period_s", [10, 40, 60])
def test_sawtooth_of_garbage_is_no_leak(period_s: float) -> None:
    assert Run().until(3000, lambda at: 100 + 200 * (at % period_s) / period_s).findings == []


def test_sawtooth_that_climbs_is_a_leak() -> None:
    run = Run().until(3000, lambda at: 50 + 0.15 * at + 20 * (at % 30) / 30, stop_at=Finding.FORETOLD)
    assert run.findings == [Finding.FORETOLD]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=50, max_size=200))
def test_noise_around_a_level_is_never_foretold(draws: list[float]) -> None:
    memory = Memory(generation=1)
    for at, draw in enumerate(draws):
        memory, finding = judge(memory, Reading(at * 5.0, int((200 + draw * 4) * MIB)), POLICY)
        assert finding is Finding.FINE


def test_growth_of_a_start_is_not_looked_at() -> None:
    memory = Memory(generation=1)
    for at in range(200):
        memory, finding = judge(memory, Reading(at, (12 + at) * MIB, settled=False), POLICY)
        assert finding is Finding.FINE
    assert memory.history == History()


def test_forecast_is_told_again_only_after_it_was_out_of_sight() -> None:
    run = Run().until(1500, linear(0.2))
    assert run.findings == [Finding.FORETOLD]
    run.until(5000, lambda _: 200, begin=1500)
    run.until(7000, lambda at: 200 + 0.1 * (at - 5000), begin=5000)
    assert run.findings == [Finding.FORETOLD] * 2


def test_next_incarnation_begins_anew_but_for_what_was_done_before() -> None:
    run = Run().until(3600, linear(0.5), stop_at=Finding.RENEW)
    after = run.memory.of(2)
    assert (after.renewed_at, after.foretold_at) == (run.memory.renewed_at, run.memory.foretold_at)
    assert (after.history, after.pace, after.above_since, after.trend) == (History(), (), None, None)
    assert run.memory.of(1) is run.memory


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(0, 2**40)), max_size=300))
@example([(2.0, 0)] * 25)
@example([(500.0, 0)] * 25)
def test_history_is_bounded_and_keeps_low_points_in_order(steps: list[tuple[float, int]]) -> None:
    history, at, lowest = History(), 0.0, 2**41
    for wait_s, used in steps:
        at += wait_s
        history, lowest = history.add(at, used), min(lowest, used)
    assert len(history.points) == len(history.begins) <= POINTS
    times = [when for when, _ in history.points]
    assert times == sorted(times)
    assert not steps or at - history.begins[0] > 1500 or min(used for _, used in history.points) == lowest
    trend = history.trend(512 * MIB, 0)
    assert trend is None or trend.full_in_s is None or trend.full_in_s >= 0


def test_too_little_says_nothing() -> None:
    history = History()
    assert history.trend(512 * MIB, 0) is None
    for at in range(8):
        history = history.add(at * 2.0, (10 + at) * MIB)
    assert history.trend(512 * MIB, 60) is None
    assert history.trend(512 * MIB, 10) is not None
    full = history.trend(15 * MIB, 10)
    assert full is not None
    assert full.full_in_s == 0
