"""What the bot's code asks is answered, or it hears why not, whatever becomes of the supervisor meanwhile."""

import asyncio
from collections.abc import Iterator

import pytest

from flotilla.protocol import Answered, Ask
from tests.stack import until
from worker_bot import asking
from worker_bot.asking import MAX_OPEN, Asking, AskingError


class Supervisor:
    """Takes questions; `away` as if there were none."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[Ask] = []
        self.asking = Asking(self.send, again_s=0.02)

    def send(self, question: Ask) -> bool:
        if not self.away:
            self.asked.append(question)
        return not self.away

    async def heard(self, count: int = 1) -> Ask:
        await until(lambda: len(self.asked) >= count, "the question is heard")
        return self.asked[-1]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    yield Supervisor()
    asking.install(None)


async def test_a_question_is_answered_once_it_is_heard(supervisor: Supervisor) -> None:
    supervisor.away = True
    asking.install(supervisor.asking)
    waiting = asyncio.create_task(asking.ask("stock.search", b"tea"))
    await asyncio.sleep(0.01)
    supervisor.away = False
    question = await supervisor.heard(2)
    assert (question.topic, question.body) == ("stock.search", b"tea")
    assert supervisor.asked[0].number == question.number
    for _ in range(2):
        supervisor.asking.answered(Answered(question.number, b"found"))
    assert await waiting == b"found"
    supervisor.asking.answered(Answered(question.number, b"late"))


async def test_a_refusal_says_why(supervisor: Supervisor) -> None:
    waiting = asyncio.create_task(supervisor.asking.ask("stock.search"))
    supervisor.asking.answered(Answered((await supervisor.heard()).number, b"Not now.", "unavailable"))
    with pytest.raises(AskingError, match=r"Not now\.") as refused:
        await waiting
    assert refused.value.code == "unavailable"


async def test_nobody_waits_for_ever_or_in_a_crowd(supervisor: Supervisor) -> None:
    with pytest.raises(AskingError) as refused:
        await asking.ask("stock.search")
    assert refused.value.code == "no_supervisor"
    with pytest.raises(AskingError) as refused:
        await supervisor.asking.ask("stock.search", timeout_s=0.01)
    assert refused.value.code == "no_answer"
    many = [asyncio.create_task(supervisor.asking.ask("stock.search")) for _ in range(MAX_OPEN)]
    await asyncio.sleep(0)
    with pytest.raises(AskingError) as refused:
        await supervisor.asking.ask("stock.search")
    assert refused.value.code == "busy"
    for task in many:
        task.cancel()
    await asyncio.wait(many)
