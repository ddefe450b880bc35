"""Asks the supervisor for what only it can look up or change, for the bot's code waits on.

A question is asked until it is answered: a supervisor that was replaced meanwhile is asked again. So what a topic does
must be the same when it is done twice.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

from flotilla.protocol import MAX_QUESTION_BYTES, Answered, Ask, Topic

AGAIN_S: Final = 5.0
AWAY_S: Final = 0.2
TIMEOUT_S: Final = 30.0
MAX_OPEN: Final = 200
"""Questions at once; one more is refused at once, for a user who hammers a command must not fill the memory."""


class AskingError(Exception):
    """The question was refused or not answered in time. code: stable, such as `busy` or `no_answer`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Asking:
    """The open questions of one worker. send: tells the supervisor; False: it is away. Lives in one event loop."""

    def __init__(self, send: Callable[[Ask], bool], again_s: float = AGAIN_S) -> None:
        self._send, self._again_s = send, again_s
        self._open: dict[int, asyncio.Future[Answered]] = {}
        self._numbers = itertools.count(1)

    async def ask(self, topic: Topic, body: bytes = b"", timeout_s: float = TIMEOUT_S) -> bytes:
        """Return the answer. body: as the topic has it. Raises AskingError."""
        if len(body) > MAX_QUESTION_BYTES:
            raise AskingError("too_large", f"a question may have {MAX_QUESTION_BYTES} bytes")
        if len(self._open) >= MAX_OPEN:
            raise AskingError("busy", f"{MAX_OPEN} questions are open already")
        number = next(self._numbers)
        future = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._until_answered(Ask(number, topic, body), future)
        except TimeoutError:
            raise AskingError("no_answer", f"the supervisor did not answer within {timeout_s:g} s") from None
        finally:
            del self._open[number]
        if answer.code:
            raise AskingError(answer.code, answer.body.decode())
        return answer.body

    async def _until_answered(self, question: Ask, future: asyncio.Future[Answered]) -> Answered:
        while True:
            wait_s = self._again_s if self._send(question) else AWAY_S
            done, _ = await asyncio.wait({future}, timeout=wait_s)
            if done:
                return future.result()

    def answered(self, message: Answered) -> None:
        """Take an answer; one that nobody waits for any more changes nothing."""
        future = self._open.get(message.number)
        if future is not None and not future.done():
            future.set_result(message)


_current: list[Asking] = []


def install(asking: Asking | None) -> None:
    """Let the bot's code of this process ask through `asking`."""
    _current[:] = [] if asking is None else [asking]


async def ask(topic: Topic, body: bytes = b"", timeout_s: float = TIMEOUT_S) -> bytes:
    """Ask through what is installed. Raises AskingError, also where nothing is: `no_supervisor`."""
    if not _current:
        raise AskingError("no_supervisor", "this process has no supervisor")
    return await _current[0].ask(topic, body, timeout_s)
