"""No bot takes more than its share, and what is left out is counted."""

from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.shares import Share, Shares

SHARE = Share("rows", at_once=100, per_minute=60, critical=20)
OTHER = Share("lines", at_once=10, per_minute=60)


def test_burst_is_let_through_and_what_is_beyond_it_is_counted() -> None:
    shares = Shares()
    assert shares.take("a", SHARE, 70, 0.0) == 70
    assert shares.take("a", SHARE, 70, 0.0) == 10
    assert shares.take("a", SHARE, 5, 0.0) == 0
    assert shares.over() == ["a"]
    assert shares.left_out("a") == {"rows": 65}
    assert (shares.over(), shares.left_out("a")) == ([], {})
    assert shares.take("a", SHARE, 5, 3.0) == 3, "it comes back evenly"


def test_critical_things_find_room_when_all_else_is_used_up() -> None:
    shares = Shares()
    shares.take("a", SHARE, 1000, 0.0)
    assert shares.take("a", SHARE, 15, 0.0, critical=True) == 15
    assert shares.take("a", SHARE, 15, 0.0, critical=True) == 5
    assert shares.take("a", SHARE, 1, 10.0) == 0, "what comes back is kept for critical things first"
    assert shares.take("a", SHARE, 1, 25.0) == 1


def test_bots_and_things_have_shares_of_their_own() -> None:
    shares = Shares()
    shares.take("a", SHARE, 1000, 0.0)
    assert (shares.take("b", SHARE, 50, 0.0), shares.take("a", OTHER, 5, 0.0)) == (50, 5)
    shares.forget("a")
    assert (shares.take("a", SHARE, 50, 0.0), shares.over()) == (50, [])


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 500), st.booleans()), max_size=50))
def test_whatever_is_asked_for_no_more_is_given_than_the_burst_and_its_minutes(
    asked: list[tuple[float, int, bool]],
) -> None:
    shares, now, given_out, wanted = Shares(), 0.0, 0, 0
    for wait_s, count, critical in asked:
        now += wait_s
        wanted += count
        given_out += shares.take("a", SHARE, count, now, critical=critical)
        assert given_out <= SHARE.at_once + SHARE.per_minute * now / 60 + 1e-6
    left_out = shares.left_out("a").get("rows", 0)
    assert given_out + left_out == wanted
