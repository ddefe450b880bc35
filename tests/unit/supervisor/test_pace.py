from supervisor.pace import BURST, PER_S, Pace


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
