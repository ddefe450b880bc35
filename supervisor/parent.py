"""Whether our own supervisord is going down as a whole, or only restarts this program."""

import asyncio
import os
from pathlib import Path

from flotilla.launch.supervisord import Supervisord


async def everything_stops() -> bool:
    """Return whether supervisord is shutting down, so that the bots must stop too.

    False when only this program is stopped, when there is no supervisord, and when it does not answer: bots that go on
    without a supervisor are adopted by the next one; bots that stop are an outage.
    """
    url = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not url.startswith("unix://"):
        return False
    supervisord = Supervisord(Path(url.removeprefix("unix://")))
    # One that is shutting down is told as pid 0.
    return await asyncio.to_thread(supervisord.pid) == 0
