"""How the supervisor ends: bots first if they are to be stopped, then what is left is stored, all by one deadline."""

import asyncio
import contextlib

import structlog

from supervisor.fleet import Fleet
from supervisor.reaper import Reaper
from supervisor.stalls import TICK_S

GRACE_S = 5.0
STOPPED_S = 5.3
STORED_S = 6.0
"""Since the program was told to stop: when bots are killed, however patient the settings are, when none is waited for
any more, and until when what is left is stored. Then there is time to let go of the claim and of the database within
the 8 s that supervisord.conf gives the program."""

STORING_S = 3.0
"""For what is left to be stored; a database that hangs is waited for no longer."""

DRAIN_S = 0.5
log = structlog.get_logger()


class Ending:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._began = self._now()

    async def stop_bots(self, fleet: Fleet, reaper: Reaper) -> None:
        """Stop every bot, and end what they leave behind."""
        fleet.stop_all()
        while not fleet.idle() and self._now() - self._began < STOPPED_S:
            if self._now() - self._began > GRACE_S:
                fleet.kill_all()
            await asyncio.sleep(TICK_S)
        log.info("supervisor.bots_stopped", after_s=round(self._now() - self._began, 2), all=fleet.idle())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await reaper.drain()

    def stored_by(self) -> float:
        """Return until when, by the loop's clock, what is left may take to be stored."""
        return min(self._now() + STORING_S, self._began + STORED_S)
