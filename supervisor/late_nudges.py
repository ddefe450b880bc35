"""Listens for nudges once the fleet stands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import import_module
from typing import TYPE_CHECKING

from flotilla.settings import Settings

if TYPE_CHECKING:
    from flotilla.nudges import ValkeyNudges

AFTER_S = 2.0
"""Adopting or starting bots comes first. What was asked for meanwhile, the poll finds."""


class LateNudges:
    """A `NudgeListener` that begins late: to import their client takes as long as to start a few bots.

    Raises SetupError (`redis_url_invalid`) at once if a URL is set that is none.
    """

    def __init__(self, settings: Settings, after_s: float = AFTER_S) -> None:
        self._url = settings.effective_redis_url
        self._after_s = after_s
        if settings.redis_url is not None:
            self._connect()

    def _connect(self) -> "ValkeyNudges":
        nudges: ValkeyNudges = import_module("flotilla.nudges").ValkeyNudges(self._url)
        return nudges

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """As `NudgeListener` has it."""
        await asyncio.sleep(self._after_s)
        nudges = await asyncio.to_thread(self._connect)
        try:
            async with nudges.listen() as taps:
                yield taps
        finally:
            await nudges.close()
