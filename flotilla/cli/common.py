"""What the commands share: how they wait."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.25


def wait_until(finished: Callable[[], bool], timeout_s: float, *, every_s: float = LOOK_EVERY_S) -> bool:
    """Ask `finished` until it says so; return whether it did within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not finished():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True
