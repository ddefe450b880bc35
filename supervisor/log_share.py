"""The supervisor's own log, which all bots share: no bot brings about more lines than its share of it."""

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

from flotilla.domain.shares import LOG_BYTES, Shares

TELL_S: Final = 60.0
LINE_BYTES: Final = 150
"""Of a line, beside its values: its time, its level, its action and the names of its fields."""

STRANGERS: Final = "(strangers)"
"""In the place of a bot's name, which cannot be this."""

AND_MORE: Final = "log.and_more"
_SERIOUS: Final = frozenset({"error", "critical", "exception"})
log = structlog.get_logger()


class LogShare:
    """A processor of structlog that leaves out what is beyond a bot's share, by the field `bot`.

    Lines about peers of whom it is not known whose they are have a field `stranger` in its place, and one share for all
    of them. Lines of the host have neither and are never left out; errors have a part of each share for themselves.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shares = Shares()
        self._lines: dict[str, int] = {}

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the line, or raise structlog.DropEvent."""
        bot = STRANGERS if "stranger" in event else event.get("bot")
        if not isinstance(bot, str) or event.get("event") == AND_MORE:
            return event
        size = LINE_BYTES + sum(len(value) for value in event.values() if isinstance(value, str))
        if not self._fits(bot, size, serious=method in _SERIOUS):
            self._lines[bot] = self._lines.get(bot, 0) + 1
            raise structlog.DropEvent
        return event

    def _fits(self, bot: str, size: int, *, serious: bool) -> bool:
        return self._shares.take(bot, LOG_BYTES, size, self._clock(), critical=serious) == size

    async def run(self) -> None:
        """Say until cancelled how many lines were left out."""
        while True:
            await asyncio.sleep(TELL_S)
            self.tell_left_out()

    def tell_left_out(self) -> None:
        """Say how many lines were left out since the last time, bot by bot."""
        lines, self._lines = self._lines, {}
        for bot, count in lines.items():
            self._shares.left_out(bot)
            log.warning(AND_MORE, bot=bot, lines=count)
