"""What the supervisor said last: read whenever it matters, so that a change is live."""

import asyncio
from collections.abc import Callable
from typing import Any

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


class Orders:
    """Takes the supervisor's messages and holds what follows from them. Made inside a running event loop.

    takers: who else acts on a message, by its class; what nobody takes changes nothing.
    """

    def __init__(self, guard: RequestGuard, gate: IdentifyGate) -> None:
        self._guard = guard
        self.gate = gate
        self.limits = WorkerLimits()
        self.output: Output | None = None
        """The bot's log, looked after with each heartbeat; None: it has none."""
        self.relieved = asyncio.Event()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self.takers: dict[type, Callable[[Any], None]] = {
            Configure: self._configure,
            Throttle: lambda message: guard.obey(message.requests),
            Relieved: lambda _: self.relieved.set(),
            MayIdentify: gate.answered,
            NotYet: gate.answered,
        }

    def close(self) -> None:
        """Let no request of the bot's pass any more."""
        self._guard.close()

    def take(self, message: ToWorker) -> None:
        """Act on a message. Only the first Welcome brings the token; later ones renew the limits."""
        if isinstance(message, Welcome):
            self._meet(message)
        if (taker := self.takers.get(type(message))) is not None:
            taker(message)

    def _meet(self, message: Welcome) -> None:
        self.limits = message.config.limits
        self._guard.obey(message.config.requests)
        self._guard.tell_all()
        self.gate.welcomed(message)
        if not self.welcome.done():
            self.welcome.set_result(message)

    def _configure(self, message: Configure) -> None:
        self.limits = message.limits
