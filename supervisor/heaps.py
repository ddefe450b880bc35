"""Asks workers what their memory is made of, and stores the answers that people asked for."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from flotilla.domain.heap import MAX_TRACE_S, Heap, HeapReport
from flotilla.ports import FleetRow, FleetStore
from flotilla.protocol import Heap as HeapMessage
from flotilla.protocol import TakeHeap
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.member import Member
from supervisor.writer import Refused, Writer

ANSWER_S = 10.0
"""Of a large heap: measured half a second of processor time for 200,000 objects, in slices between other work."""

BRIEF_S = 1.0
POLL_S = 0.1
UNSTORABLE = "No database can store what the worker told."
Tell = Callable[[str, TakeHeap], bool]
log = structlog.get_logger()


class Heaps:
    """Requests under way. tell: sends a message to a bot's worker and returns False if it is not connected."""

    def __init__(self, store: FleetStore, refused: Refused, containment: Containment | None = None) -> None:
        self._store = store
        self.writer: Writer[Heap] = Writer(
            "heaps",
            self._save,
            refused,
            owner=lambda row: row.bot_id,
            lesser=lambda row: replace(row, report=None, fault=UNSTORABLE),
        )
        self._containment = containment or Containment()
        self.tell: Tell = lambda _bot_id, _message: False
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[str, int, int], asyncio.Future[HeapReport]] = {}
        self._answered: dict[str, int] = {}
        self._answers: dict[str, asyncio.Task[None]] = {}

    def take(self, member: Member, generation: int, message: HeapMessage) -> None:
        """Take a worker's answer; one that nobody waits for any more is dropped."""
        waiting = self._asked.get((member.bot.id, generation, message.number))
        if waiting is not None and not waiting.done():
            waiting.set_result(message.report.bounded())

    async def brief(self, member: Member) -> dict[str, Any]:
        """Return what can be told of a worker's heap within a second, empty if it does not answer."""
        report = await self._ask(member, BRIEF_S, brief=True)
        return {} if report is None else report.brief()

    def answer_requests(self, fleet: Fleet, rows: Iterable[FleetRow]) -> None:
        """Answer the requests that have no answer yet, one at a time for each bot."""
        for row in rows:
            bot, member = row.bot, fleet.get(row.bot.id)
            answered = max(row.heap_answered, self._answered.get(bot.id, 0))
            if member is None or bot.heap_epoch <= answered or bot.id in self._answers:
                continue
            task = self._containment.spawn(
                bot, "look at its heap", self._answer(member, bot.heap_epoch, bot.heap_trace_s or 0.0)
            )
            self._answers[bot.id] = task

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._answered.pop(bot_id, None)

    async def _answer(self, member: Member, epoch: int, trace_s: float) -> None:
        generation, trace_s = member.worker.generation, min(trace_s, MAX_TRACE_S)
        log.info("worker.heap_asked", bot=member.bot.name, generation=generation, trace_s=trace_s)
        try:
            report, fault = None, None
            if member.process is None:
                fault = "The bot has no process now."
            else:
                report = await self._ask(member, ANSWER_S + trace_s, trace_s=trace_s)
                if report is None:
                    fault = _no_answer(member, generation)
            heap = Heap(member.bot.id, epoch, datetime.now(UTC), generation, report, fault)
            self.writer.put(heap, key=member.bot.id)
            self._answered[member.bot.id] = epoch
        finally:
            del self._answers[member.bot.id]

    async def _save(self, rows: Sequence[Heap]) -> None:
        for row in rows:
            await self._store.record_heap(row)

    async def _ask(
        self, member: Member, timeout_s: float, *, brief: bool = False, trace_s: float = 0.0
    ) -> HeapReport | None:
        """Return a worker's report; None if it is not there, ends meanwhile, or takes too long."""
        number, generation = next(self._numbers), member.worker.generation
        key = member.bot.id, generation, number
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[HeapReport] = loop.create_future()
        self._asked[key] = waiting
        deadline, told = loop.time() + timeout_s, False
        try:
            while member.worker.generation == generation and member.process is not None:
                # An adopted worker may not have found this supervisor yet.
                told = told or self.tell(member.bot.id, TakeHeap(number, brief, trace_s))
                if waiting.done():
                    return waiting.result()
                left_s = deadline - loop.time()
                if left_s <= 0:
                    return None
                await asyncio.wait({waiting}, timeout=min(left_s, POLL_S))
            return None
        finally:
            del self._asked[key]


def _no_answer(member: Member, generation: int) -> str:
    if member.worker.generation != generation or member.process is None:
        return "The bot's process ended before it could answer. Try again."
    return (
        "The worker did not answer: its event loop does not turn, it is only starting, or another release started it. "
        "Try again, or see where it is: flotilla bots stacks NAME"
    )
