import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.discord import SESSION_STARTS_PER_DAY
from flotilla.domain.policy import (
    KNOBS,
    MIB,
    NO_OVERRIDES,
    Policy,
    RestartPolicy,
    backoff_delay_s,
    parse_overrides,
)
from flotilla.errors import FixInputError
from flotilla.settings import Settings


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


def test_overrides_hold_in_place_of_the_fleets_numbers() -> None:
    own = parse_overrides({"memory_limit_mb": 128, "restart_policy": "never", "delivery_probe": False})
    policy = own.on(Policy(max_failures=4))
    assert (policy.memory_limit_bytes, policy.restart, policy.delivery_probe) == (128 * MIB, RestartPolicy.NEVER, False)
    assert (policy.max_failures, policy.memory_soft_bytes) == (4, int(128 * MIB * 0.9))
    assert own.given() == {"memory_limit_mb": 128, "restart_policy": "never", "delivery_probe": False}


def test_null_leaves_a_number_to_the_fleet() -> None:
    assert parse_overrides({"max_failures": None}) == NO_OVERRIDES


def test_every_knob_has_a_setting_of_the_same_name_and_the_default_of_the_policy() -> None:
    assert set(KNOBS) <= set(Settings.model_fields)
    assert Settings().policy == Policy()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"memory_limit_mb": 63}, "memory_limit_mb"),
        ({"memory_limit_mb": "much"}, "memory_limit_mb"),
        ({"memory_limit_gb": 1}, "memory_limit_gb"),
        ({"restart_policy": "sometimes"}, "restart_policy"),
        ({"uptime_target": 1}, "uptime_target"),
        ({"max_failures": True}, "max_failures"),
        ({"delivery_quiet_s": float("nan")}, "delivery_quiet_s"),
        ({"liveness_timeout_s": 0.1}, "liveness_timeout_s"),
    ],
)
def test_policy_that_cannot_be_is_refused_by_name(values: dict[str, object], told: str) -> None:
    with pytest.raises(FixInputError, match=told) as caught:
        parse_overrides(values)
    assert caught.value.code == "policy_invalid"
