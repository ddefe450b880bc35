import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.discord import SESSION_STARTS_PER_DAY
from flotilla.domain.policy import Policy, backoff_delay_s


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_cap(failures: int, u: float) -> None:
    policy = Policy()
    assert 0 <= backoff_delay_s(failures, policy, u) <= policy.backoff_cap_s


def test_first_failure_is_not_waited_for() -> None:
    assert backoff_delay_s(1, Policy(), 0.99) == 0


def test_ceiling_doubles_with_every_failure() -> None:
    policy = Policy(backoff_base_s=1, backoff_cap_s=1000)
    assert [backoff_delay_s(n, policy, 0.5) for n in (2, 3, 4, 5)] == [0.5, 1, 2, 4]


def test_mean_wait_at_the_cap_stays_within_the_daily_session_starts() -> None:
    mean_s = Policy().backoff_cap_s / 2
    assert mean_s >= 86_400 / SESSION_STARTS_PER_DAY


@pytest.mark.parametrize(("failures", "u"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_impossible_arguments_are_refused(failures: int, u: float) -> None:
    with pytest.raises(ValueError, match="backoff_delay_s needs"):
        backoff_delay_s(failures, Policy(), u)


def test_policy_refuses_numbers_that_never_act() -> None:
    with pytest.raises(ValueError, match="stop_grace_s must be greater than 0"):
        Policy(stop_grace_s=0)
