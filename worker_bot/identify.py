"""Asks the supervisor before every IDENTIFY, and shares what Discord says of its gateway. Knows nothing of hikari."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from flotilla.protocol import (
    AskIdentify,
    FromWorker,
    GatewayAnswer,
    GatewaySeen,
    IdentifiedAlone,
    MayIdentify,
    NotYet,
    Welcome,
)

JITTER = 0.25
"""Share of the patience by which it is stretched at most: a host full of bots shall not identify at once."""

UNTOLD_MAX = 100
KEPT_S = 30.0
"""An answer serves a later attempt of its shard for so long: a connection that fails has not spent the start."""

HEAR_S = 0.1
log = logging.getLogger("flotilla.identify")


class SessionBudgetError(Exception):
    """No session may begin before `wait_s`. code: why, of `reasons.REASONS`; None: only Discord's rate of IDENTIFYs."""

    def __init__(self, wait_s: float, code: str | None) -> None:
        super().__init__(f"no session may begin for another {wait_s:.0f} s ({code or 'rate of IDENTIFYs'})")
        self.wait_s = wait_s
        self.code = code


@dataclass(slots=True)
class _Asked:
    question: AskIdentify
    answer: asyncio.Future[MayIdentify | NotYet]
    answered_at: float = math.inf


class IdentifyGate:
    """One worker's session starts: each is granted by the supervisor, or, if none answers, taken from a few of its own.

    send: to the supervisor; returns False when it is away. Made inside a running event loop.
    """

    def __init__(self, send: Callable[[FromWorker], bool]) -> None:
        self._send = send
        self._answer_s = math.inf
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._alone = 0
        self._untold: list[tuple[int, float]] = []
        self._gateway: GatewayAnswer | None = None
        self._not_before: dict[int, float] = {}
        self.was_ready = False

    # Of the supervisor -----------------------------------------------------------------------------------------------

    def welcomed(self, message: Welcome) -> None:
        """Take what a supervisor gives at every connection, and tell it what the one before cannot have heard."""
        self._alone, self._answer_s = message.alone, message.alone_after_s
        self._gateway = message.gateway or self._gateway
        now = time.monotonic()
        self._untold = [row for row in self._untold if not self._send(IdentifiedAlone(row[0], now - row[1]))]
        for asked in self._asked.values():
            if not asked.answer.done():
                self._send(asked.question)

    def answered(self, message: MayIdentify | NotYet) -> None:
        """Take an answer; one to a question that is no longer asked changes nothing."""
        asked = self._asked.get(message.shard_id)
        if asked is not None and asked.question.number == message.number and not asked.answer.done():
            asked.answer.set_result(message)
            asked.answered_at = time.monotonic()

    # Of the bot ------------------------------------------------------------------------------------------------------

    def take_gateway(self) -> GatewayAnswer | None:
        """Return Discord's answer as another worker had it, once: whoever connects anew later asks Discord."""
        shared, self._gateway = self._gateway, None
        return shared

    def learned(self, answer: GatewayAnswer) -> None:
        """Tell the supervisor what Discord answered."""
        self._send(GatewaySeen(answer))

    def ask(self, shard_id: int) -> None:
        """Ask for a session start, if that is not asked already: the answer comes while the shard still connects."""
        asked = self._asked.get(shard_id)
        if asked is not None and time.monotonic() - asked.answered_at < KEPT_S:
            return
        self._number += 1
        question = AskIdentify(shard_id, self._number, self.was_ready)
        self._asked[shard_id] = _Asked(question, asyncio.get_running_loop().create_future())
        self._send(question)

    async def granted(self, shard_id: int) -> None:
        """Return when the shard may identify, which it must do at once. Raises SessionBudgetError."""
        self.ask(shard_id)
        answer = self._asked[shard_id].answer
        while True:
            patience_s = self._answer_s * random.uniform(1, 1 + JITTER)  # noqa: S311 - jitter
            try:
                message = await asyncio.wait_for(asyncio.shield(answer), patience_s)
                break
            except TimeoutError:
                # Perhaps it is this worker that was not there: what waits in its socket is read first.
                await asyncio.sleep(HEAR_S)
                if answer.done():
                    continue
                if self._alone > 0:
                    self._identify_alone(shard_id)
                    return
                log.warning("the supervisor does not answer; shard %d waits for it", shard_id)
        del self._asked[shard_id]
        if isinstance(message, NotYet):
            self._not_before[shard_id] = time.monotonic() + message.wait_s
            raise SessionBudgetError(message.wait_s, message.code)

    async def pause(self, shard_id: int) -> None:
        """Wait until it is worth while to ask again for a shard that was told how long it has to wait."""
        wait_s = self._not_before.pop(shard_id, 0.0) - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _identify_alone(self, shard_id: int) -> None:
        del self._asked[shard_id]
        self._alone -= 1
        log.warning("the supervisor does not answer; shard %d identifies unasked", shard_id)
        told = self._send(IdentifiedAlone(shard_id, 0.0))
        if not told and len(self._untold) < UNTOLD_MAX:
            self._untold.append((shard_id, time.monotonic()))
