"""The numbers a worker is held to, which of them each bot may have of its own, and the delay between its runs."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flotilla.errors import FixInputError

MIB = 1024 * 1024
MEMORY_FLOOR_MB = 64
"""Lowest memory limit: a connected worker takes 10 to 20 MB, so below this a bot would be killed for being one."""

MEMORY_HEADROOM_SHARE = 0.03
"""Between a memory limit and the kernel's bound behind it: a leak of any speed stays below 5 % above the limit."""


class RestartPolicy(enum.StrEnum):
    """Which ends of a run that nobody asked for are followed by a next one."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and patience for one bot. Times in seconds, memory in bytes.

    The defaults are the fleet's targets: memory < 512 MB, uptime > 99.5 %, response < 2 s, and a backoff whose mean at
    the cap (150 s) stays above 86.4 s, the long-run mean that Discord's 1,000 session starts in 24 h allow. A blocked
    bot is READY again within 12 s: 8 s until it is noticed, 0.3 s to write down its stacks, 0.6 s to end it and fork,
    and the rest for Discord. A deaf session is found within 30 s of quiet and two answers of 10 s that do not come.

    max_failures: failed runs in a row. intensity: failed runs in any `intensity_period_s`, whatever lies between them.
    memory_soft_ratio: share of the limit above which, for `memory_soft_for_s`, a worker is restarted warm.
    memory_forecast_s: how far ahead a growing worker's limit is foretold. memory_snapshot: whether what a worker's
    memory is made of is written down with its warnings. interaction_guard: whether the worker answers for its bot what
    has no answer after `interaction_defer_after_ms`. session_reserve: session starts of a day that are left for people.
    """

    restart: RestartPolicy = RestartPolicy.ALWAYS
    startup_timeout_s: float = 60.0
    liveness_timeout_s: float = 8.0
    stop_grace_s: float = 5.0
    dump_grace_s: float = 0.3
    kill_retry_s: float = 1.0
    stable_after_s: float = 60.0
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 300.0
    max_failures: int = 10
    intensity: int = 30
    intensity_period_s: float = 3600.0
    memory_limit_bytes: int = 512 * MIB
    memory_soft_ratio: float = 0.9
    memory_soft_for_s: float = 5.0
    memory_forecast_s: float = 3600.0
    memory_snapshot: bool = True
    delivery_probe: bool = True
    delivery_quiet_s: float = 30.0
    delivery_answer_s: float = 10.0
    reconnect_timeout_s: float = 300.0
    interaction_guard: bool = True
    interaction_defer_after_ms: float = 1800.0
    response_target_ms: float = 2000.0
    uptime_target: float = 0.995
    session_reserve: int = 50

    def __post_init__(self) -> None:
        """Raise ValueError for a number that would make the supervisor spin or never act."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                msg = f"policy: {field.name} must be greater than 0"
                raise ValueError(msg)

    @property
    def memory_soft_bytes(self) -> int:
        """The soft memory limit."""
        return int(self.memory_limit_bytes * self.memory_soft_ratio)

    @property
    def memory_bound_bytes(self) -> int:
        """Where the kernel steps in: a little above the limit, so that the probe with its clear reasons is first."""
        return self.memory_limit_bytes + int(self.memory_limit_bytes * MEMORY_HEADROOM_SHARE)

    @property
    def heartbeat_s(self) -> float:
        """Seconds between two heartbeats of a worker: four fit into its liveness timeout.

        Each costs the supervisor about 80 microseconds: of 500 bots, a heartbeat a second is 4 % of a core.
        """
        return min(2.0, self.liveness_timeout_s / 4)


Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Share = Annotated[float, Meta(gt=0, lt=1)]


class Overrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one bot has in place of the fleet's policy; None: as the fleet. Named as the settings are."""

    restart_policy: RestartPolicy | None = None
    startup_timeout_s: Seconds | None = None
    liveness_timeout_s: Annotated[float, Meta(ge=1, le=3600)] | None = None
    stop_grace_s: Seconds | None = None
    stable_after_s: Seconds | None = None
    backoff_cap_s: Seconds | None = None
    max_failures: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    intensity: Annotated[int, Meta(ge=1, le=1000)] | None = None
    intensity_period_s: Seconds | None = None
    memory_limit_mb: Annotated[int, Meta(ge=MEMORY_FLOOR_MB, le=1_048_576)] | None = None
    memory_soft_ratio: Annotated[float, Meta(gt=0, le=1)] | None = None
    memory_soft_for_s: Seconds | None = None
    memory_forecast_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] | None = None
    memory_snapshot: bool | None = None
    delivery_probe: bool | None = None
    delivery_quiet_s: Seconds | None = None
    delivery_answer_s: Seconds | None = None
    reconnect_timeout_s: Annotated[float, Meta(ge=1, le=86_400)] | None = None
    interaction_guard: bool | None = None
    interaction_defer_after_ms: Annotated[float, Meta(ge=100, le=2_500)] | None = None
    response_target_ms: Annotated[float, Meta(gt=0, le=3_600_000)] | None = None
    uptime_target: Share | None = None
    session_reserve: Annotated[int, Meta(ge=1, le=999)] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is overridden, as JSON has it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def on(self, policy: Policy) -> Policy:
        """Return `policy` with what is overridden here."""
        return replace(policy, **dict(_as_policy(*item) for item in self.given().items()))


class Knobs(msgspec.Struct, frozen=True):
    """Everything that may be overridden, with the value that holds."""

    restart_policy: RestartPolicy
    startup_timeout_s: float
    liveness_timeout_s: float
    stop_grace_s: float
    stable_after_s: float
    backoff_cap_s: float
    max_failures: int
    intensity: int
    intensity_period_s: float
    memory_limit_mb: int
    memory_soft_ratio: float
    memory_soft_for_s: float
    memory_forecast_s: float
    memory_snapshot: bool
    delivery_probe: bool
    delivery_quiet_s: float
    delivery_answer_s: float
    reconnect_timeout_s: float
    interaction_guard: bool
    interaction_defer_after_ms: float
    response_target_ms: float
    uptime_target: float
    session_reserve: int


def knobs_of(policy: Policy) -> Knobs:
    """Return a policy as its overrides name it."""
    renamed: dict[str, Any] = {"restart_policy": policy.restart, "memory_limit_mb": policy.memory_limit_bytes // MIB}
    same = {name: getattr(policy, name) for name in KNOBS if name not in renamed}
    return Knobs(**renamed, **same)


NO_OVERRIDES = Overrides()
KNOBS = Overrides.__struct_fields__
"""Names of everything that may be overridden."""


def _as_policy(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 - as the field is typed
    if name == "memory_limit_mb":
        return "memory_limit_bytes", value * MIB
    if name == "restart_policy":
        return "restart", RestartPolicy(value)
    return name, value


def parse_overrides(values: Mapping[str, object]) -> Overrides:
    """Return overrides from JSON's objects; null leaves a name to the fleet.

    Raises FixInputError (`policy_invalid`) that names what is unknown or out of its bounds.
    """
    unknown = sorted(set(values) - set(KNOBS))
    if unknown:
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise FixInputError(
            f"A bot's policy has no {shown}. It has: {', '.join(KNOBS)}.", code="policy_invalid", names=unknown[:5]
        )
    try:
        return msgspec.convert(dict(values), Overrides)
    except msgspec.ValidationError as fault:
        raise FixInputError(f"The policy is wrong: {fault}.", code="policy_invalid") from None


def backoff_delay_s(failures: int, policy: Policy, u: float, cap_s: float = math.inf) -> float:
    """Return seconds to wait before the next spawn, in [0, policy.backoff_cap_s], and below `cap_s` in any case.

    The first failure after a stable run is started again at once: most crashes are single. From the second on the
    delay is drawn with full jitter from [0, base * 2 ** (failures - 2)], so that a host full of bots that fail together
    does not come back together.

    failures: consecutive failed runs, at least 1.
    u: uniform draw in [0, 1); the caller owns randomness.
    Raises ValueError if failures < 1 or u is outside [0, 1).
    """
    if failures < 1 or not 0 <= u < 1:
        msg = f"backoff_delay_s needs failures >= 1 and 0 <= u < 1, not {failures} and {u}"
        raise ValueError(msg)
    if failures == 1:
        return 0.0
    ceiling_s = min(policy.backoff_cap_s, cap_s, policy.backoff_base_s * 2.0 ** min(failures - 2, 30))
    return u * ceiling_s
