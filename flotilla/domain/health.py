"""What is to be thought of a program that says when it started and when it last turned. Pure; seconds are monotonic."""

from collections.abc import Sequence

LOOP_STARTS = 4
LOOP_S = 120.0
LOOP_OVER_S = 60.0
"""A person restarts a program now and then; whatever starts four times in two minutes is ended by something. After a
minute without another start it has settled."""

HUNG_AFTER_S = 15.0
"""A program says every 2 s that its event loop turns; one that is busy says it late, one that hangs does not."""


def in_crash_loop(starts: Sequence[float], now_s: float) -> bool:
    """Return whether a program is started again and again. starts: when it was, the newest last."""
    late = [start for start in starts if now_s - start <= LOOP_S]
    return len(late) >= LOOP_STARTS and now_s - late[-1] <= LOOP_OVER_S


def silent_s(starts: Sequence[float], beat_s: float | None, now_s: float) -> float:
    """Return for how long a program has not said that it turns, since its start if it never has.

    0 for one that says neither, as a release before this one.
    """
    last = beat_s if beat_s is not None else max(starts, default=now_s)
    return max(now_s - last, 0.0)
