import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.metrics import (
    BOUNDS_MS,
    EMPTY,
    MAX_COUNT,
    NOTHING,
    Counts,
    Histogram,
    bucket,
    known,
    plus,
    quantile_ms,
    since,
    together,
)

BUCKETS = len(BOUNDS_MS) + 1
numbers = st.integers(0, 10_000)
histograms = st.builds(Histogram, st.tuples(*[numbers] * BUCKETS), numbers)
tables = st.dictionaries(st.sampled_from(["command answered", "command failed", "modal late"]), st.integers(1, 10_000))
kinds = st.dictionaries(st.sampled_from(["command", "modal"]), histograms)
counts = st.builds(Counts, tables, tables, tables, kinds, kinds, histograms)


def of(*durations_ms: float) -> Histogram:
    found = [0] * BUCKETS
    for ms in durations_ms:
        found[bucket(ms)] += 1
    return Histogram(tuple(found), round(sum(durations_ms) * 1000))


@given(counts, counts)
def test_what_is_added_can_be_taken_away(one: Counts, more: Counts) -> None:
    assert plus(one, more) == plus(more, one)
    gained = since(plus(one, more), one)
    assert plus(gained, one) == plus(one, more)
    assert since(one, one).lag.count == 0
    assert plus(one, NOTHING) == one


@given(counts, counts)
def test_a_count_that_falls_takes_nothing_away(one: Counts, other: Counts) -> None:
    gained = since(one, other)
    assert all(value > 0 for value in gained.commands.values())
    assert min(gained.lag.counts) >= 0


@pytest.mark.parametrize(
    ("ms", "index"), [(0, 0), (1, 0), (1.01, 1), (2000, 11), (2000.1, 12), (60_000, 15), (60_001, 16)]
)
def test_a_duration_belongs_to_the_first_bound_that_is_not_below_it(ms: float, index: int) -> None:
    assert bucket(ms) == index


def test_quantiles_lie_between_the_bounds_of_their_bucket() -> None:
    assert quantile_ms(EMPTY, 0.5) is None
    assert quantile_ms(of(*[7.0] * 4), 0.5) == 7.5
    assert quantile_ms(of(*[7.0] * 4), 1.0) == 10.0
    assert quantile_ms(of(*[0.5] * 95, *[400.0] * 5), 0.95) == 1.0
    assert quantile_ms(of(*[0.5] * 90, *[400.0] * 10), 0.95) == pytest.approx(375)
    assert quantile_ms(of(90_000), 0.5) == BOUNDS_MS[-1]


def test_histograms_of_several_kinds_become_one() -> None:
    assert together({"a": of(1, 7), "b": of(7)}) == of(1, 7, 7)
    assert together({}) == EMPTY


def test_names_of_no_table_are_left_out_and_numbers_are_bounded() -> None:
    told = Counts(
        {"command answered": 1, "x": 2}, {"READY": 1, "y": 2}, {"2xx": 1, "z": 2}, {"q": of(1)}, {"command": of(1)}
    )
    assert known(told) == Counts({"command answered": 1}, {"READY": 1}, {"2xx": 1}, {}, {"command": of(1)})
    full = Counts({"command answered": MAX_COUNT}, lag=Histogram((MAX_COUNT,) * BUCKETS, MAX_COUNT))
    assert plus(full, full) == full


@pytest.mark.parametrize(
    "told",
    [
        [{"a": -1}, {}, {}, {}, {}, [[0] * BUCKETS, 0]],
        [{"a": MAX_COUNT + 1}, {}, {}, {}, {}, [[0] * BUCKETS, 0]],
        [{"a": 1.5}, {}, {}, {}, {}, [[0] * BUCKETS, 0]],
        [{"a" * 65: 1}, {}, {}, {}, {}, [[0] * BUCKETS, 0]],
        [{str(n): 1 for n in range(129)}, {}, {}, {}, {}, [[0] * BUCKETS, 0]],
        [{}, {}, {}, {str(n): [[0] * BUCKETS, 0] for n in range(9)}, {}, [[0] * BUCKETS, 0]],
        [{}, {}, {}, {}, {}, [[0] * (BUCKETS - 1), 0]],
    ],
)
def test_nonsense_of_a_worker_is_refused(told: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Counts)
