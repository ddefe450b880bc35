"""How much one bot may send, in messages and their bytes: as much as it likes in a burst, then so much a second.

It is the bot's and not a connection's or a process', so that nobody gets a new burst by connecting or starting anew.
"""

import time
from dataclasses import dataclass, field
from typing import Final

BURST: Final = 500
PER_S: Final = 100.0
"""A worker sends up to 5 heartbeats a second and little else. Beyond this it is not read, and its writes wait."""

BYTES_OF_ONE: Final = 8192
"""What is received counts as one more message for each of these, whole frames or not: it costs by its bytes. The
largest that a worker of ours sends often, 200 command logs, are about 60 KB."""

HELLO_COSTS: Final = 4
"""Messages that a connection counts as: what greeting a worker takes."""

PERSISTS_S: Final = 10.0
"""How long a bot may be too fast before it is disconnected. No worker of ours is for longer than its first moments."""


@dataclass(slots=True)
class Pace:
    """What one bot has left. now: monotonic second, as everywhere here. over_since: since when it has been too fast."""

    now: float = field(default_factory=time.monotonic)
    left: float = BURST
    over_since: float | None = None

    def take(self, now: float, messages: int = 1, size_bytes: int = 0) -> float:
        """Count what came; return the seconds to wait before more is read, 0 while some are left."""
        self.left = min(BURST, self.left + max(0.0, now - self.now) * PER_S)
        self.now = now
        if self.left >= BURST / 2:
            self.over_since = None
        self.left -= messages + size_bytes / BYTES_OF_ONE
        if self.left >= 0:
            return 0.0
        if self.over_since is None:
            self.over_since = now
        return -self.left / PER_S

    def persists(self, now: float) -> bool:
        """Return whether it has been too fast for so long that it is no burst."""
        return self.over_since is not None and now - self.over_since >= PERSISTS_S
