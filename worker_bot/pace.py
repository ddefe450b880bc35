"""How often the shards of one bot may identify."""

import asyncio
import time
from collections import defaultdict

IDENTIFY_INTERVAL_S = 5.0
"""`max_concurrency` IDENTIFYs are allowed in so many seconds (Discord, Gateway, Rate limiting)."""


class IdentifyPace:
    """Lets one shard of each bucket, which is shard_id modulo `max_concurrency`, identify in each interval."""

    def __init__(self, max_concurrency: int = 1, interval_s: float = IDENTIFY_INTERVAL_S) -> None:
        self._max_concurrency = max(1, max_concurrency)
        self._interval_s = interval_s
        self._next_at: dict[int, float] = defaultdict(float)

    async def wait(self, shard_id: int) -> None:
        """Return when the shard may identify. Turns are given in the order in which they were asked for."""
        bucket = shard_id % self._max_concurrency
        turn_at = max(time.monotonic(), self._next_at[bucket])
        self._next_at[bucket] = turn_at + self._interval_s
        await asyncio.sleep(turn_at - time.monotonic())
