"""How much one peer may send, in messages and their bytes: as much as it likes in a burst, then so much a second."""

from dataclasses import dataclass

BURST = 500
PER_S = 100.0
"""A worker sends up to 5 heartbeats a second and little else. Beyond this it is not read, and its writes wait."""


BYTES_OF_ONE = 8192
"""A large message counts as one more for each of these: what it costs grows with its bytes. The largest that a worker
of ours sends often, 200 command logs, are about 60 KB."""


@dataclass(slots=True)
class Pace:
    """What one peer has left. now: monotonic second, as everywhere here. exceeded: whether it was ever too fast."""

    now: float
    left: float = BURST
    exceeded: bool = False

    def take(self, now: float, size_bytes: int = 0) -> float:
        """Count a message of a size; return the seconds to wait before the next is read, 0 while some are left."""
        self.left = min(BURST, self.left + (now - self.now) * PER_S) - 1 - size_bytes // BYTES_OF_ONE
        self.now = now
        return max(0.0, -self.left / PER_S)
