"""What proves that another process uses a bot's token, and what does not."""

from datetime import UTC, datetime, timedelta

from flotilla.domain.second_instance import ANSWERS, STARTS, WINDOW_S, Suspicion, foreign_starts
from flotilla.domain.sessions import Limit, Start

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ENDS = NOW + timedelta(hours=12)


def limit(remaining: int, at_s: float = 0, *, resets_at: datetime = ENDS, total: int = 1000) -> Limit:
    return Limit("wss://gateway", 1, total, remaining, 1, resets_at, NOW + timedelta(seconds=at_s))


def starts(count: int, at_s: float = 300) -> list[Start]:
    return [Start(NOW + timedelta(seconds=at_s), "crash", 0)] * count


def test_one_answer_from_elsewhere_is_no_proof_and_more_are_told_once_in_a_while() -> None:
    suspicion = Suspicion()
    told = [suspicion.answered_elsewhere(at) for at in range(100)]
    assert [count for count in told if count] == [ANSWERS]
    assert told.index(ANSWERS) == ANSWERS - 1
    assert suspicion.answered_elsewhere(ANSWERS - 1 + WINDOW_S) > ANSWERS


def test_answers_that_lie_far_apart_are_not_told() -> None:
    suspicion = Suspicion()
    assert not any(suspicion.answered_elsewhere(number * (WINDOW_S + 1)) for number in range(20))


def test_starts_that_nobody_here_made_are_told() -> None:
    before, after = limit(900), limit(900 - STARTS - 3, 600)
    assert foreign_starts(before, after, starts(3)) == STARTS
    assert foreign_starts(before, after, starts(4)) == 0


def test_own_starts_are_no_proof_whenever_they_are_recorded() -> None:
    for at_s in (-5, 0, 300, 600, 605):
        assert foreign_starts(limit(900), limit(880, 600), starts(20, at_s)) == 0


def test_answers_of_different_windows_or_applications_of_another_size_cannot_be_compared() -> None:
    assert foreign_starts(None, limit(10), ()) == 0
    assert foreign_starts(limit(900), limit(10, 600, resets_at=ENDS + timedelta(hours=24)), ()) == 0
    assert foreign_starts(limit(900), limit(10, 600, total=2000), ()) == 0
    assert foreign_starts(limit(10), limit(900, 600), ()) == 0
