"""Answers what workers ask: each topic by the one who knows, beside everything else, bounded for each bot."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from flotilla.errors import FlotillaError
from flotilla.protocol import Answered, Ask, Topic, ToWorker
from supervisor.containment import Containment
from supervisor.member import Member

ANSWER_TIMEOUT_S: Final = 25.0
"""Below what a worker waits for (worker_bot/asking.py), so that it hears why."""

MAX_AT_ONCE: Final = 50
"""Of one bot. What is beyond is answered with `busy`, so that one bot cannot take the database from the others."""

LOOKS_AT_ONCE: Final = 2
"""Of all bots into the database: while it hangs, the supervisor's own connections stay free."""

log = structlog.get_logger()

Answerer = Callable[[Member, bytes], Awaitable[bytes]]
"""Returns the answer to the body of a question; raises FlotillaError, whose code and message the worker hears."""


class Answers:
    """Takes `Ask` from workers. topics: who answers what."""

    def __init__(
        self,
        topics: Mapping[Topic, Answerer],
        tell: Callable[[str, ToWorker], bool],
        containment: Containment | None = None,
    ) -> None:
        self._topics, self._tell = topics, tell
        self._containment = containment or Containment()
        self._open: dict[tuple[str, int, int], asyncio.Task[None]] = {}
        self._of_bot: Counter[str] = Counter()

    def take(self, member: Member, generation: int, message: Ask) -> None:
        """Begin to answer; a question that is being answered already is not answered twice."""
        key = (member.bot.id, generation, message.number)
        if key in self._open:
            return
        if self._of_bot[member.bot.id] >= MAX_AT_ONCE:
            self._tell(member.bot.id, Answered(message.number, b"The bot asks for too much at once.", "busy"))
            return
        self._of_bot[member.bot.id] += 1
        self._open[key] = task = self._containment.spawn(member.bot, "answer", self._answer(member, message))
        task.add_done_callback(lambda _: self._done(key))

    def _done(self, key: tuple[str, int, int]) -> None:
        del self._open[key]
        self._of_bot[key[0]] -= 1
        if not self._of_bot[key[0]]:
            del self._of_bot[key[0]]

    async def _answer(self, member: Member, message: Ask) -> None:
        self._tell(member.bot.id, await self._answer_to(member, message))

    async def _answer_to(self, member: Member, message: Ask) -> Answered:
        answerer = self._topics.get(message.topic)
        if answerer is None:
            return Answered(message.number, b"This supervisor does not know about that.", "unknown_topic")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return Answered(message.number, await answerer(member, message.body))
        except TimeoutError:
            return Answered(message.number, b"It took too long to look that up.", "unavailable")
        except FlotillaError as fault:
            return Answered(message.number, fault.message.encode(), fault.code)
        except Exception:
            log.exception("answers.failed", bot=member.bot.name, topic=message.topic)
            return Answered(message.number, b"The supervisor failed; its log says how.", "internal_error")
