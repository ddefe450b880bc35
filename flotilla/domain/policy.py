"""The numbers a worker is held to, and the delay between its runs."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and patience for one bot. Times in seconds, memory in bytes.

    The defaults are the fleet's targets: memory < 512 MB, and a backoff whose mean at the cap (150 s) stays above
    86.4 s, the long-run mean that Discord's 1,000 session starts in 24 h allow. A blocked bot is READY again within
    12 s: 8 s until it is noticed, 0.3 s to write down its stacks, 0.6 s to end it and fork, and the rest for Discord.
    """

    startup_timeout_s: float = 60.0
    liveness_timeout_s: float = 8.0
    stop_grace_s: float = 5.0
    dump_grace_s: float = 0.3
    kill_retry_s: float = 1.0
    stable_after_s: float = 60.0
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 300.0
    max_failures: int = 10
    memory_limit_bytes: int = 512 * MIB

    def __post_init__(self) -> None:
        """Raise ValueError for a number that would make the supervisor spin or never act."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                msg = f"policy: {name} must be greater than 0"
                raise ValueError(msg)


def backoff_delay_s(failures: int, policy: Policy, u: float) -> float:
    """Return seconds to wait before the next spawn, in [0, policy.backoff_cap_s].

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
    ceiling_s = min(policy.backoff_cap_s, policy.backoff_base_s * 2.0 ** min(failures - 2, 30))
    return u * ceiling_s
