"""Tells workers when their bots' commands are to be registered whatever was registered before."""

from collections.abc import Callable, Iterable

from flotilla.domain.bots import Bot
from flotilla.protocol import SyncCommands, ToWorker


class CommandOrders:
    """Of all bots. A worker that is away learns the last order with its next Welcome, so each is told once at most."""

    def __init__(self, tell: Callable[[str, ToWorker], bool]) -> None:
        self._tell = tell
        self._known: dict[str, int] = {}

    def tell_news(self, bots: Iterable[Bot]) -> None:
        """Tell the workers of bots for which there is a new order."""
        for bot in bots:
            if self._known.setdefault(bot.id, bot.commands_epoch) != bot.commands_epoch:
                self._known[bot.id] = bot.commands_epoch
                self._tell(bot.id, SyncCommands(bot.commands_epoch))

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._known.pop(bot_id, None)
