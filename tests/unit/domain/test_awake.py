"""Time as a program was awake for it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.awake import TOLERANCE_S, AwakeClock

Turns = list[tuple[float, float, float]]
SECONDS = st.floats(0, 1e5, allow_subnormal=False)
TURNS = st.lists(st.tuples(SECONDS, st.floats(0, 60), SECONDS))
"""For how long each turn of the loop worked, asked to wait, and waited."""
ROUNDING_S = 1e-3


def lives(clock: AwakeClock, now: float, turns: Turns) -> list[tuple[float, float]]:
    """Let a loop turn; return what the clock said at each moment, as (real, its own)."""
    said = [(now, clock.read(now))]
    for worked_s, asked_s, waited_s in turns:
        now += worked_s
        said.append((now, clock.read(now)))
        clock.waits(now)
        said.append((now, clock.read(now)))
        now += waited_s
        clock.looked(now, asked_s)
        said.append((now, clock.read(now)))
    return said


@given(TURNS)
def test_it_never_goes_back_and_never_runs_faster_than_real_time(turns: Turns) -> None:
    clock = AwakeClock(1000.0)
    said = lives(clock, 1000.0, turns)
    for (real, own), (next_real, next_own) in pairwise(said):
        assert -ROUNDING_S <= next_own - own <= next_real - real + ROUNDING_S
    assert said[-1][1] == pytest.approx(said[-1][0] - clock.missed_s, abs=ROUNDING_S)


@given(TURNS, SECONDS, st.floats(0, 60))
def test_no_stall_counts_for_more_than_the_tolerance(turns: Turns, stalled_s: float, asked_s: float) -> None:
    clock = AwakeClock(0.0)
    now, before = lives(clock, 0.0, turns)[-1]
    assert clock.read(now + stalled_s) <= before + TOLERANCE_S + ROUNDING_S, "while it works"
    clock.waits(now)
    clock.looked(now + stalled_s, asked_s)
    assert clock.read(now + stalled_s) <= before + asked_s + TOLERANCE_S + ROUNDING_S, "while it waits"


@given(st.lists(st.tuples(st.floats(0, TOLERANCE_S), st.floats(0, 60), st.floats(0, TOLERANCE_S))))
def test_of_a_program_that_is_awake_it_is_the_real_time(turns: list[tuple[float, float, float]]) -> None:
    clock = AwakeClock(0.0)
    said = lives(clock, 0.0, [(worked_s, asked_s, asked_s + late_s) for worked_s, asked_s, late_s in turns])
    assert all(own == pytest.approx(real, abs=ROUNDING_S) for real, own in said)
    assert clock.stalls == 0 or clock.missed_s < ROUNDING_S


@given(st.lists(st.floats(0, 100)))
def test_whoever_is_silent_is_found_after_as_much_time_awake_however_often_the_program_stalls(
    stalls_s: list[float],
) -> None:
    """A deadline of 5 s is passed at the latest when the program was awake for 5 s."""
    clock, now = AwakeClock(0.0), 0.0
    deadline = clock.read(now) + 5.0
    awake_s = 0.0
    for stalled_s in [*stalls_s, *([0.0] * 110)]:
        now += stalled_s
        clock.waits(now)
        now += 0.05
        clock.looked(now, 0.05)
        awake_s += 0.05
        if awake_s >= 5.0 + ROUNDING_S:
            assert clock.read(now) >= deadline


@given(st.lists(st.booleans(), min_size=2))
def test_nobody_is_judged_first_after_a_stall_and_somebody_is_then(stalls: list[bool]) -> None:
    clock, now, before = AwakeClock(0.0), 0.0, True
    for stalled in stalls:
        now += 10.0 if stalled else 0.01
        clock.waits(now)
        clock.looked(now, 0.0)
        judges = clock.may_judge()
        assert judges or stalled
        assert judges or before, "twice in a row"
        if stalled and before:
            assert not judges
        before = judges


def test_a_wait_that_the_sockets_end_is_no_stall() -> None:
    clock = AwakeClock(0.0)
    clock.waits(0.0)
    clock.looked(3.0, 10.0)
    assert (clock.missed_s, clock.stalls, clock.read(3.0)) == (0.0, 0, 3.0)
