"""Until when time is known to have passed, whatever the system's clock says.

One start with the clock forty days ahead must not delete forty days. So what is forgotten by its age is judged by a
clock that follows the system's, but no faster than the machine was seen to run.
"""

from datetime import datetime, timedelta

CATCHES_UP = 24.0
"""Times as fast as time passes: after a month of being switched off a fleet is up to date in a day and a half, and a
clock that is wrong costs a day of what is kept for each hour in which nobody mends it."""

FUTURE = timedelta(minutes=1)
"""What is dated further ahead than this was dated by a clock that was wrong."""


def confirmed(before: datetime, now: datetime, elapsed_s: float) -> datetime:
    """Return until when time has passed for certain, given that it had until `before`, `elapsed_s` ago.

    now: the system's clock; it is believed when it says less. elapsed_s: by a clock that nobody sets.
    """
    return min(now, before + timedelta(seconds=max(0.0, elapsed_s) * CATCHES_UP))
