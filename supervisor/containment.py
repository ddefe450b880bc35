"""One bot's fault is that bot's: whatever is done for it alone is done here, so that none of it ends the program.

A fault that nobody expected is a fault of ours. It is logged with its traceback, told as a happening and shown; what
failed is left out for this bot and tried again, and all others go on. What is expected (a database that is away, a
process that is gone) is handled where it happens and never gets here.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import structlog

from flotilla.domain.bots import Bot
from flotilla.redaction import redact_text
from flotilla.tasks import spawn

RETRY_BASE_S = 0.5
RETRY_CAP_S = 60.0
FORGOTTEN_S = 600.0
"""What has not failed again for so long, and is not tried by itself, counts as mended."""

ERROR_CHARS = 200
P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(slots=True)
class _Fault:
    """again_at: when it is tried, or told, again at the soonest. at: when it was last."""

    error: str
    failures: int = 0
    again_at: float = 0.0
    at: float = 0.0


def _tell_nobody(_code: str, _bot_id: str, _name: str, **_detail: str) -> object:
    return None


class Containment:
    """What of which bot is set aside.

    note: writes a happening down, as `Chronicle.note` does. clock: seconds, of any kind that only grow.
    """

    def __init__(self, note: Callable[..., object] = _tell_nobody, clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._faults: dict[tuple[str, str], _Fault] = {}
        self.changed: Callable[[str], object] = lambda _bot_id: None
        """Told of a bot of which something was set aside, or nothing is any more. May raise."""

    def attempt(self, bot: Bot, what: str, act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Do something for one bot; return False, and set it aside, if it raises.

        what: in a word or two, the same each time.
        """
        try:
            act(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must stay this bot's
            self.set_aside(bot, what, error)
            return False
        if self._faults:
            self._mended(bot, what)
        return True

    def retry(self, bot: Bot, what: str, act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """As `attempt`, for what is called again and again: not before its wait after a fault is over."""
        if self._faults and not self.due(bot.id, what):
            return False
        return self.attempt(bot, what, act, *args, **kwargs)

    def spawn(self, bot: Bot, what: str, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin a task for one bot; what it raises is set aside as `attempt` does."""

        def failed(error: BaseException) -> None:
            if isinstance(error, Exception):  # what else there is ends the loop by itself
                self.set_aside(bot, what, error)

        return spawn(f"{what} of {bot.name}", work, failed)

    def due(self, bot_id: str, what: str) -> bool:
        """Return whether something may be tried now."""
        fault = self._faults.get((bot_id, what))
        return fault is None or self._clock() >= fault.again_at

    def sentence(self, bot_id: str) -> str | None:
        """Return what of a bot is set aside and why; None: nothing is."""
        now = self._clock()
        told = [
            f"{what} ({fault.error})"
            for (owner, what), fault in self._faults.items()
            if owner == bot_id and now - fault.at < FORGOTTEN_S
        ]
        return "; ".join(told) or None

    def count(self) -> int:
        """Return of how many bots something is set aside."""
        now = self._clock()
        return len({bot_id for (bot_id, _), fault in self._faults.items() if now - fault.at < FORGOTTEN_S})

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._faults = {key: fault for key, fault in self._faults.items() if key[0] != bot_id}

    def set_aside(self, bot: Bot, what: str, error: Exception) -> None:
        """Note what was raised for one bot, and that it is left out."""
        now = self._clock()
        text = redact_text(f"{type(error).__name__}: {error}")[:ERROR_CHARS]
        fault = self._faults.setdefault((bot.id, what), _Fault(text))
        is_told = now < fault.again_at
        fault.error, fault.at = text, now
        if is_told:
            return
        fault.failures += 1
        delay_s = min(RETRY_CAP_S, RETRY_BASE_S * 2 ** min(fault.failures, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        fault.again_at = now + delay_s
        log.error("bot.set_aside", bot=bot.name, what=what, retry_in_s=round(delay_s, 2), exc_info=error)
        self._tell(bot, what, text)

    def _mended(self, bot: Bot, what: str) -> None:
        if self._faults.pop((bot.id, what), None) is not None:
            log.info("bot.taken_up_again", bot=bot.name, what=what)
            self._tell(bot, what, None)

    def _tell(self, bot: Bot, what: str, error: str | None) -> None:
        try:
            if error is not None:
                self._note("set_aside", bot.id, bot.name, distinct=what, what=what, error=error)
            self.changed(bot.id)
        except Exception:
            # Perhaps the very thing that is broken. The log has it.
            log.exception("bot.set_aside_untold", bot=bot.name)
