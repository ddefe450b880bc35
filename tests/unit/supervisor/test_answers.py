"""What workers ask is answered once, each bot has its share, and what fails is said."""

import asyncio

import pytest

from flotilla.errors import NotFoundError
from flotilla.protocol import Answered, Ask, ToWorker
from supervisor import answers as module
from supervisor.answers import MAX_AT_ONCE, Answers
from supervisor.member import Member
from tests.builders import a_bot
from tests.stack import until

MEMBER, OTHER = Member(a_bot(1)), Member(a_bot(2))


class Case:
    """Answers to one topic, that wait for `go`; `told` has what workers heard."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ToWorker]] = []
        self.looked_up = 0
        self.go = asyncio.Event()
        self.answers = Answers({"known": self.known, "broken": self.broken, "none": self.none}, self.tell)

    async def known(self, _member: Member, body: bytes) -> bytes:
        self.looked_up += 1
        await self.go.wait()
        return body.upper()

    async def broken(self, _member: Member, _body: bytes) -> bytes:
        raise LookupError

    async def none(self, _member: Member, _body: bytes) -> bytes:
        raise NotFoundError("There is none.", code="stock_unknown")

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        self.told.append((bot_id, message))
        return True

    async def heard(self, count: int = 1) -> list[tuple[str, Answered]]:
        return list(await until(lambda: len(self.told) >= count and self.told, "the worker hears"))


async def test_a_question_asked_twice_is_looked_up_once() -> None:
    case = Case()
    for _ in range(2):
        case.answers.take(MEMBER, 1, Ask(7, "known", b"tea"))
    await asyncio.sleep(0)
    case.go.set()
    assert await case.heard() == [(MEMBER.bot.id, Answered(7, b"TEA"))]
    assert case.looked_up == 1


@pytest.mark.parametrize(
    ("topic", "code"), [("new", "unknown_topic"), ("broken", "internal_error"), ("none", "stock_unknown")]
)
async def test_what_cannot_be_answered_is_said(topic: str, code: str) -> None:
    case = Case()
    case.answers.take(MEMBER, 1, Ask(7, topic, b""))
    ((_, answer),) = await case.heard()
    assert (answer.number, answer.code) == (7, code)


async def test_one_bot_that_asks_for_too_much_does_not_keep_the_others_from_asking() -> None:
    case = Case()
    for number in range(MAX_AT_ONCE + 1):
        case.answers.take(MEMBER, 1, Ask(number, "known", b""))
    case.answers.take(OTHER, 1, Ask(1, "known", b"tea"))
    ((bot_id, answer),) = await case.heard()
    assert (bot_id, answer.code) == (MEMBER.bot.id, "busy")
    case.go.set()
    assert (OTHER.bot.id, Answered(1, b"TEA")) in await case.heard(MAX_AT_ONCE + 2)
    case.answers.take(MEMBER, 1, Ask(99, "known", b""))
    await case.heard(MAX_AT_ONCE + 3)


async def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
    case = Case()
    case.answers.take(MEMBER, 1, Ask(7, "known", b""))
    ((_, answer),) = await case.heard()
    assert answer.code == "unavailable"
