"""The one loop of all that is stored in the background: when it is asked for, and again while a store is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import structlog

from flotilla.errors import RetryError

RETRY_BASE_S = 0.1
RETRY_CAP_S = 5.0
Away = tuple[type[BaseException], ...]
log = structlog.get_logger()


def retry_delay_s(failures: int, u: float) -> float:
    """Return seconds to wait after `failures` in a row, at least one: in [0, RETRY_CAP_S). u: uniform draw in [0, 1).

    A database may be away for days: the exponent is bounded, since 2**1024 is beyond a float.
    """
    return u * min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(failures, 10))


class Storing:
    """Something that is stored again and again, never twice at once.

    what: in a word or two, for the log. act: stores what there is, and returns for how many seconds more is gathered
    before the next time. away: what it raises while the store is away; asked for then, since its client may be
    imported late. Whatever else it raises is a fault of ours, logged with its traceback; that ends no program, and is
    tried again like the rest.
    """

    def __init__(
        self,
        what: str,
        act: Callable[[], Awaitable[float]],
        *,
        gather_s: float = 0.0,
        away: Callable[[], Away] = lambda: (RetryError,),
    ) -> None:
        self.what = what
        self.failures = 0
        """How often in a row the store did not take it."""
        self._act, self._gather_s, self._away = act, gather_s, away
        self._asked = asyncio.Event()
        self._lock = asyncio.Lock()

    def ask(self) -> None:
        """Have it done soon."""
        self._asked.set()

    async def once(self) -> float:
        """Do it now, after whoever is at it. Raises what it raises."""
        async with self._lock:
            try:
                pause_s = await self._act()
            except Exception:
                self.failures += 1
                raise
            self.failures = 0
            return pause_s

    async def attempt(self) -> float | None:
        """Do it now as `once` does; return None, and say so, if the store did not take it."""
        try:
            return await self.once()
        except self._away() as fault:
            tell = log.warning if self.failures == 1 else log.debug
            tell("storing.away", what=self.what, error=str(fault), failures=self.failures)
        except Exception:  # noqa: BLE001 - as the class says
            tell = log.exception if self.failures == 1 else log.debug
            tell("storing.failed", what=self.what, failures=self.failures)
        return None

    async def run(self) -> None:
        """Do it whenever it was asked for, until cancelled."""
        while True:
            await self._asked.wait()
            if self._gather_s:
                await asyncio.sleep(self._gather_s)
            self._asked.clear()
            pause_s = await self.attempt()
            if pause_s is None:
                pause_s = retry_delay_s(self.failures, random.random())  # noqa: S311 - jitter
                self._asked.set()
            await asyncio.sleep(pause_s)


async def store_all(first: Storing, others: Sequence[Storing], deadline: float) -> None:
    """Store what is left when the program ends: `first` before all others, and all of it by one deadline.

    deadline: of the event loop's clock. What is not stored by then is lost, and that is logged.
    """
    left = {storing.what for storing in (first, *others)}

    async def store(storing: Storing) -> None:
        if await storing.attempt() is not None:
            left.discard(storing.what)

    try:
        async with asyncio.timeout_at(deadline):
            await store(first)
            await asyncio.gather(*(store(storing) for storing in others))
    except TimeoutError:
        pass
    if left:
        log.warning("storing.left", what=sorted(left))
