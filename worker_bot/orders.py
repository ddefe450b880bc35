"""What the supervisor said last: read whenever it matters, so that a change is live."""

import asyncio
from collections.abc import Callable

from flotilla.protocol import (
    CommandsStored,
    Configure,
    MayIdentify,
    NotYet,
    Relieved,
    TakeHeap,
    Throttle,
    ToWorker,
    Welcome,
    WorkerLimits,
)
from worker_bot.identify import IdentifyGate
from worker_bot.requests import RequestGuard


class Orders:
    """Takes the supervisor's messages and holds what follows from them. Made inside a running event loop."""

    def __init__(self, guard: RequestGuard, gate: IdentifyGate) -> None:
        self._guard = guard
        self.gate = gate
        self.limits = WorkerLimits()
        self.on_heap: Callable[[TakeHeap], None] | None = None
        self.on_stored: Callable[[int], None] | None = None
        self.relieved = asyncio.Event()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """Let no request of the bot's pass any more."""
        self._guard.close()

    def take(self, message: ToWorker) -> None:
        """Act on a message. Only the first Welcome brings the token; later ones renew the limits."""
        match message:
            case Welcome():
                self.limits = message.config.limits
                self._guard.obey(message.config.requests)
                self._guard.tell_all()
                self.gate.welcomed(message)
                if not self.welcome.done():
                    self.welcome.set_result(message)
            case Configure(limits):
                self.limits = limits
            case Throttle(requests):
                self._guard.obey(requests)
            case TakeHeap() if self.on_heap is not None:
                self.on_heap(message)
            case CommandsStored(number) if self.on_stored is not None:
                self.on_stored(number)
            case Relieved():
                self.relieved.set()
            case MayIdentify() | NotYet():
                self.gate.answered(message)
