"""What the supervisor said last: read whenever it matters, so that a change is live."""

import asyncio

from flotilla.protocol import Configure, MayIdentify, NotYet, ToWorker, Welcome, WorkerLimits
from worker_bot.identify import IdentifyGate


class Orders:
    """Takes the supervisor's messages and holds what follows from them. Made inside a running event loop."""

    def __init__(self, gate: IdentifyGate) -> None:
        self.gate = gate
        self.limits = WorkerLimits()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()

    def take(self, message: ToWorker) -> None:
        """Act on a message. Only the first Welcome brings the token; later ones renew the limits."""
        match message:
            case Welcome():
                self.limits = message.config.limits
                self.gate.welcomed(message)
                if not self.welcome.done():
                    self.welcome.set_result(message)
            case Configure(limits):
                self.limits = limits
            case MayIdentify() | NotYet():
                self.gate.answered(message)
