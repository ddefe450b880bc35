"""The sandbox's own errors: logged with their stack, counted, and kept so that a test can see that there were none."""

import logging
import traceback
from collections import deque

from sandbox import limits
from sandbox.world.objects import Json, timestamp

_log = logging.getLogger(__name__)


class Failures:
    """What went wrong in the sandbox itself. `total` counts all; the last ones are kept, oldest first."""

    def __init__(self) -> None:
        self.total = 0
        self.kept: deque[Json] = deque(maxlen=limits.FAILURES_KEPT)

    def record(self, where: str, error: Exception, now: float) -> None:
        """Log and keep an error that nobody expected. where: the request or the frame that led to it."""
        self.total += 1
        _log.error("unexpected error in %s", where, exc_info=error)
        stack = "".join(traceback.format_exception(error))[-limits.FAILURE_STACK_CHARACTERS :]
        self.kept.append({
            "at": timestamp(now),
            "where": where[: limits.FAILURE_WHERE_CHARACTERS],
            "error": f"{type(error).__name__}: {error}"[: limits.FAILURE_WHERE_CHARACTERS],
            "stack": stack,
        })  # fmt: skip
