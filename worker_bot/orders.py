"""What the supervisor said last: read whenever it matters, so that a change is live."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from flotilla.protocol import (
    Configure,
    MayIdentify,
    NotYet,
    Relieved,
    Throttle,
    ToWorker,
    Welcome,
    WorkerLimits,
)
from worker_bot.identify import IdentifyGate
from worker_bot.output import Output
from worker_bot.requests import RequestGuard

MAX_EARLY: Final = 256
"""Messages that are kept for who is not there yet: those that come with the first Welcome, in one piece."""


class Orders:
    """Takes the supervisor's messages and holds what follows from them. Made inside a running event loop."""

    def __init__(self, guard: RequestGuard, gate: IdentifyGate) -> None:
        self._guard = guard
        self.gate = gate
        self.limits = WorkerLimits()
        self.output: Output | None = None
        """The bot's log, looked after with each heartbeat; None: it has none."""
        self.relieved = asyncio.Event()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._early: deque[ToWorker] = deque(maxlen=MAX_EARLY)
        self._takers: dict[type, Callable[[Any], None]] = {
            Configure: self._configure,
            Throttle: lambda message: guard.obey(message.requests),
            Relieved: lambda _: self.relieved.set(),
            MayIdentify: gate.answered,
            NotYet: gate.answered,
        }

    def hear(self, kind: type[ToWorker], taker: Callable[[Any], None]) -> None:
        """Have somebody act on messages of one kind from now on, and on those that came before there was anybody.

        A bot is made of what its first Welcome says; what the supervisor says right behind that is read before.
        """
        self._takers[kind] = taker
        early = [message for message in self._early if type(message) is kind]
        for message in early:
            self._early.remove(message)
            taker(message)

    def close(self) -> None:
        """Let no request of the bot's pass any more."""
        self._guard.close()

    def take(self, message: ToWorker) -> None:
        """Act on a message. Only the first Welcome brings the token; later ones renew the limits."""
        if isinstance(message, Welcome):
            self._meet(message)
        taker = self._takers.get(type(message))
        if taker is not None:
            taker(message)
        elif not isinstance(message, Welcome):
            self._early.append(message)

    def _meet(self, message: Welcome) -> None:
        self.limits = message.config.limits
        self._guard.obey(message.config.requests)
        self._guard.tell_all()
        self.gate.welcomed(message)
        if not self.welcome.done():
            self.welcome.set_result(message)

    def _configure(self, message: Configure) -> None:
        self.limits = message.limits
