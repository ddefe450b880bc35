"""The secrets of a worker's bot: environment variables of this process alone, in nothing that leaves it."""

import logging
import os
from collections.abc import Mapping

from flotilla.redaction import hide
from worker_bot.asked_environment import BEFORE_THE_FORK

log = logging.getLogger("flotilla.worker")


def take(token: str, secrets: Mapping[str, str]) -> None:
    """Give the bot's code its secrets, and keep them and its token out of all text from now on.

    Called before any of the bot's own code runs in this process. /proc/PID/environ has none of them: it shows what a
    process was started with (proc(5)).
    """
    hide([token, *secrets.values()])
    os.environ.update(secrets)
    stale = BEFORE_THE_FORK.of(secrets)
    if stale:
        log.warning(
            "code that was imported before any bot had %s has looked for it then, and may go on without. "
            "To have it imported anew: flotilla supervisor rollover",
            ", ".join(sorted(stale)),
        )
