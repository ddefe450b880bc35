"""How far records are stored, and who waits for that: group commit."""

import asyncio
from collections import deque

PAUSE_S_PER_ROW = 0.001
PAUSE_MAX_S = 0.02


def pause_s(rows: int) -> float:
    """Return how long to gather before the next transaction, after one with so many rows.

    A single bot's records are stored at once; those of many that start together, in few transactions: each costs more
    than its rows do.
    """
    return min(PAUSE_MAX_S, rows * PAUSE_S_PER_ROW)


class Progress:
    """Counts records as they are put, and lets wait until one is stored."""

    def __init__(self) -> None:
        self.put = 0
        self.stored = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def until_stored(self, mark: int) -> None:
        """Return when the first `mark` records are stored."""
        if self.stored >= mark:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((mark, future))
        await future

    def reach(self, mark: int) -> None:
        """Note that the first `mark` records are stored."""
        self.stored = max(self.stored, mark)
        for _ in range(len(self._waiting)):
            wanted, future = self._waiting.popleft()
            if wanted > self.stored:
                self._waiting.append((wanted, future))
            elif not future.done():
                future.set_result(None)
