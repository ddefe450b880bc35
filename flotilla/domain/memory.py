"""What follows from how much memory a worker uses: nothing, a warning, a warm restart, its end; and the next look.

`judge` decides by exact readings alone; estimates only move the next look and the trend. Times are monotonic seconds.
"""

import enum
from dataclasses import dataclass, field, replace

from flotilla.domain.growth import History, Trend
from flotilla.domain.policy import MIB, Policy

FASTEST_BYTES_S = 100 * MIB
"""The leak that must not get past its limit by more than 5 %: the next look comes when it could be halfway there."""

OVERSHOOT = 0.05
LONGEST_S = 10.0
SHORTEST_S = 0.01
PACE_S = 0.25
PACE_POINTS = 4
WORTH_S = 300.0
"""A restart for memory must keep the worker below its soft limit for so long to be worth another. So there are at most
twelve an hour, and one in all for a bot whose memory is above the soft limit as soon as it has started."""

FORETOLD_AGAIN_S = 900.0


class Finding(enum.StrEnum):
    """What a reading leads to; the weightiest when there are several."""

    FINE = "fine"
    FORETOLD = "foretold"
    RENEW = "renew"
    STUCK = "stuck"
    EXCEEDED = "exceeded"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a worker. exact: `used_bytes` is USS, else an estimate.

    settled: it has been READY for long enough that its start is over; what it needs for starting is no leak.
    renewable: a warm restart is possible now.
    """

    at: float
    used_bytes: int
    exact: bool = True
    settled: bool = True
    renewable: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one bot. `generation` and what follows it belong to that incarnation.

    renewed_at: when it was last restarted for its memory. helpless: that was not worth it, and it has not been well
    below its soft limit since. foretold_at: when its limit was last in sight.
    pace: its latest readings, `PACE_S` apart. above_since: when it came to be above its soft limit. told: what follows
    from that was done or said. exceeded: it was above its limit, so its end is on its way.
    """

    renewed_at: float | None = None
    helpless: bool = False
    foretold_at: float | None = None
    generation: int = 0
    history: History = field(default_factory=History)
    trend: Trend | None = None
    pace: tuple[tuple[float, int], ...] = ()
    above_since: float | None = None
    told: bool = False
    exceeded: bool = False

    def of(self, generation: int) -> "Memory":
        """Return what is remembered for an incarnation."""
        if generation == self.generation:
            return self
        return Memory(self.renewed_at, self.helpless, self.foretold_at, generation)

    @property
    def rate_bytes_s(self) -> float:
        """How fast it grows at this moment; 0 if it has only jumped once."""
        steps = [later[1] - earlier[1] for earlier, later in zip(self.pace, self.pace[1:], strict=False)]
        if sum(step > 0 for step in steps) < 2:  # noqa: PLR2004 - one is a jump
            return 0.0
        return max(0.0, sum(steps) / (self.pace[-1][0] - self.pace[0][0]))


def judge(memory: Memory, reading: Reading, policy: Policy) -> tuple[Memory, Finding]:
    """Return what is remembered after a reading that is not older than those before, and what it leads to."""
    memory = _with(memory, reading, policy)
    if not reading.exact:
        return memory, Finding.FINE
    if reading.used_bytes > policy.memory_limit_bytes:
        return replace(memory, exceeded=True), Finding.FINE if memory.exceeded else Finding.EXCEEDED
    if reading.used_bytes <= policy.memory_soft_bytes:
        helpless = memory.helpless and not reading.settled
        return _foretell(replace(memory, above_since=None, told=False, helpless=helpless), reading.at, policy)
    return _above(memory, reading, policy)


def next_look_s(memory: Memory, used_bytes: int, policy: Policy) -> float:
    """Return seconds until a worker must be looked at again.

    That is half the time in which it could reach its limit, or all in which it could reach its soft limit. Near them it
    is what a leak of `FASTEST_BYTES_S` needs for a quarter of the 5 % that it may exceed its limit by; the rest is left
    for noticing. Never less than 10 ms, for limits under 80 MiB.
    """
    rate, limit_bytes = max(FASTEST_BYTES_S, memory.rate_bytes_s), policy.memory_limit_bytes
    soonest_s = min(0.1, max(SHORTEST_S, OVERSHOOT * limit_bytes / (4 * FASTEST_BYTES_S)))
    until_s = (limit_bytes - used_bytes) / (2 * rate)
    if used_bytes <= policy.memory_soft_bytes:
        until_s = min(until_s, (policy.memory_soft_bytes - used_bytes) / rate)
    return min(LONGEST_S, max(soonest_s, until_s))


def _with(memory: Memory, reading: Reading, policy: Policy) -> Memory:
    pace = memory.pace
    # The last point moves on until it is PACE_S after the one before it.
    if len(pace) > 1 and pace[-1][0] - pace[-2][0] < PACE_S:
        pace = pace[:-1]
    if not pace or reading.at > pace[-1][0]:
        pace = (*pace, (reading.at, reading.used_bytes))[-PACE_POINTS:]
    if not reading.settled:
        return replace(memory, pace=pace)
    history = memory.history.add(reading.at, reading.used_bytes)
    same = history.begins[-1:] == memory.history.begins[-1:]
    trend = memory.trend if same else history.trend(policy.memory_limit_bytes, policy.stable_after_s)
    return replace(memory, pace=pace, history=history, trend=trend)


def _foretell(memory: Memory, now: float, policy: Policy) -> tuple[Memory, Finding]:
    full_in_s = memory.trend.full_in_s if memory.trend else None
    if full_in_s is None or full_in_s > policy.memory_forecast_s:
        return memory, Finding.FINE
    known = memory.foretold_at is not None and now - memory.foretold_at < FORETOLD_AGAIN_S
    return replace(memory, foretold_at=now), Finding.FINE if known else Finding.FORETOLD


def _above(memory: Memory, reading: Reading, policy: Policy) -> tuple[Memory, Finding]:
    since = reading.at if memory.above_since is None else memory.above_since
    memory = replace(memory, above_since=since)
    patience_s = since + policy.memory_soft_for_s - reading.at
    missing = policy.memory_limit_bytes - reading.used_bytes
    if memory.told or memory.helpless or (patience_s > 0 and missing > memory.rate_bytes_s * patience_s):
        return memory, Finding.FINE
    if memory.renewed_at is not None and since - memory.renewed_at < WORTH_S:
        return replace(memory, told=True, helpless=True), Finding.STUCK
    if not reading.renewable:
        return memory, Finding.FINE
    return replace(memory, renewed_at=reading.at, told=True), Finding.RENEW
