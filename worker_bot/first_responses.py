"""Which interactions this process has begun to answer, and when: what is answered beside it was answered elsewhere."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from worker_bot.lateness import made_at_ms

KEPT: Final = 10_000
SETTLED_S: Final = 10.0
"""How long after its start a process may still meet what the one before it answered: what Discord replays to it."""


class FirstResponses:
    """Of one worker. clock: monotonic seconds. wall: Unix seconds, as Discord's ids tell them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since = wall() + SETTLED_S
        self._began: OrderedDict[int, float] = OrderedDict()

    def begin(self, interaction_id: int) -> tuple[float, bool]:
        """A first response is to be sent. Returns the seconds since the first try, and whether this is it."""
        now = self._clock()
        began = self._began.get(interaction_id)
        if began is not None:
            return now - began, False
        self._began[interaction_id] = now
        if len(self._began) > KEPT:
            self._began.popitem(last=False)
        return 0.0, True

    def is_of_our_time(self, interaction_id: int) -> bool:
        """Return whether an interaction came when no worker before this one can have answered it."""
        return made_at_ms(interaction_id) / 1000 >= self._since
