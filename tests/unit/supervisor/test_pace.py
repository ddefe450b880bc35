import pytest

from supervisor.pace import BURST, BYTES_OF_ONE, PER_S, PERSISTS_S, Pace


def test_burst_is_let_through_and_what_follows_waits_its_turn() -> None:
    pace = Pace(100.0)
    assert [pace.take(100.0) for _ in range(BURST)] == [0] * BURST
    assert pace.take(100.0) == 1 / PER_S
    assert pace.take(100.0) == 2 / PER_S


def test_allowance_comes_back_with_time_and_never_exceeds_the_burst() -> None:
    pace = Pace(0.0)
    for _ in range(BURST + 1):
        pace.take(0.0)
    assert pace.take(1.0) == 0
    pace.take(1_000_000.0)
    assert pace.left == BURST - 1


def test_bytes_count_as_they_come_whole_frames_or_not() -> None:
    pace = Pace(0.0)
    for _ in range(BURST):
        assert pace.take(0.0, messages=0, size_bytes=BYTES_OF_ONE) == 0
    assert pace.take(0.0, messages=0, size_bytes=100 * BYTES_OF_ONE) == 100 / PER_S


@pytest.mark.parametrize("every_s", [0.001, 0.05, 1.0])
def test_who_is_too_fast_for_long_persists_and_a_burst_does_not(every_s: float) -> None:
    pace, now = Pace(0.0), 0.0
    while now < PERSISTS_S * 0.9:
        assert not pace.persists(now)
        now += max(every_s, pace.take(now, size_bytes=1024 * 1024))
    while now < PERSISTS_S * 3:
        now += max(every_s, pace.take(now, size_bytes=1024 * 1024))
    assert pace.persists(now)
    pace.take(now + BURST / PER_S)
    pace.take(now + 2 * BURST / PER_S)
    assert not pace.persists(now + 2 * BURST / PER_S), "it has calmed down"
