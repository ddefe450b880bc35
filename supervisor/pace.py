"""How many messages one peer may send: as many as it likes in a burst, then so many a second."""

from dataclasses import dataclass

BURST = 500
PER_S = 100.0
"""A worker sends up to 5 heartbeats a second and little else. Beyond this it is not read, and its writes wait."""


@dataclass(slots=True)
class Pace:
    """What one peer has left. now: monotonic second, as everywhere here. exceeded: whether it was ever too fast."""

    now: float
    left: float = BURST
    exceeded: bool = False

    def take(self, now: float) -> float:
        """Count a message; return the seconds to wait before the next is read, 0 while some are left."""
        self.left = min(BURST, self.left + (now - self.now) * PER_S) - 1
        self.now = now
        return max(0.0, -self.left / PER_S)
