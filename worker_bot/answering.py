"""One interaction between a bot's code and Discord: what the guard does for it, and what a call of the code means then.

Pure: no clock, no I/O. Times are monotonic seconds. Numbers of kinds and answers are Discord's (Interactions, Receiving
and Responding): an initial response within 3 s, a token of 15 minutes, one initial response.
"""

import enum
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

VOID_S: Final = 3.0
TOKEN_S: Final = 900.0
LATEST_S: Final = 2.5
"""When what cannot be deferred, or only at a loss, is answered for the code: half a second before it is void."""

GIVE_UP_S: Final = 840.0
"""A deferred answer is given up a minute before its token ends."""

LEFT_S: Final = 10.0
"""How long after its handler returned an answer may still come from elsewhere, such as a task of the bot's."""

MAX_HABITS: Final = 1_000
ORIGINAL: Final = "@original"
NOWHERE: Final = ""


class Kind(enum.IntEnum):
    """What a user did."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


class Answer(enum.IntEnum):
    """The types of initial response. OTHER: one that the guard has no part in."""

    OTHER = 0
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8
    MODAL = 9


class Op(enum.Enum):
    """What a bot's code asks: the initial response, the three things it may do with it, or a follow-up."""

    ANSWER = enum.auto()
    EDIT = enum.auto()
    FETCH = enum.auto()
    DELETE = enum.auto()
    FOLLOW_UP = enum.auto()


class Do(enum.Enum):
    """What becomes of a call: as it is; nothing, it is so already; or another request in its place."""

    PASS = enum.auto()
    NOTHING = enum.auto()
    EDIT = enum.auto()
    NEW = enum.auto()
    REPLACE = enum.auto()
    THERE = enum.auto()
    MISSING = enum.auto()
    REFUSE = enum.auto()


class Move(enum.Enum):
    """What is due for an interaction by time."""

    NONE = enum.auto()
    DEFER = enum.auto()
    GIVE_UP = enum.auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the code. private: whether it asks for a message that its user alone sees."""

    op: Op
    answer: Answer | None = None
    private: bool = False


@dataclass(frozen=True, slots=True)
class Habit:
    """What a command answered last."""

    private: bool = False
    modal: bool = False


class Habits:
    """What each command, component or modal answered last, by its name; the longest unused are forgotten."""

    def __init__(self) -> None:
        self._by_name: OrderedDict[str, Habit] = OrderedDict()

    def of(self, name: str) -> Habit:
        """Return the habit of a name."""
        return self._by_name.get(name, _NO_HABIT)

    def note(self, name: str, call: Call) -> None:
        """Take note of an initial response of the code."""
        self._by_name[name] = Habit(call.private, call.answer is Answer.MODAL)
        self._by_name.move_to_end(name)
        if len(self._by_name) > MAX_HABITS:
            self._by_name.popitem(last=False)


_NO_HABIT = Habit()


@dataclass(slots=True, eq=False)
class Exchange:
    """An interaction and how far it is answered.

    began: when its 3 s began. due: when the guard answers. answered: the code's own initial response. deferred: the
    guard's. holder: the message that the code takes for its initial response; NOWHERE while there is none. private:
    whether its user alone sees it. is_open: whether it waits to be filled. wants: of a deferral by the code that came
    after the guard's, whether it was private. is_foreign: Discord said that it is answered already, and nobody knows by
    whom. told: an error was shown. dropped: it came too late, and is not handled. locale: its user is answered in it.
    """

    id: int
    token: str
    application_id: str
    kind: Kind
    name: str
    from_message: bool
    began: float
    due: float
    answered: Answer | None = None
    deferred: Answer | None = None
    holder: str = ORIGINAL
    private: bool = False
    is_open: bool = False
    wants: bool | None = None
    is_foreign: bool = False
    told: bool = False
    dropped: bool = False
    posting: int = 0
    calls: int = 0
    handlers: int = 0
    left_at: float | None = None
    locale: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether there is an initial response."""
        return self.answered is not None or self.deferred is not None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left that Discord would not do as the code asks."""
        if self.handlers or self.posting or self.is_open or self.answered is None:
            return False
        return self.deferred is None or self.holder == ORIGINAL


def due_after_s(kind: Kind, habit: Habit, defer_after_s: float) -> float:
    """Return how long the code may take for its initial response.

    A deferral is what a modal cannot follow, and empty choices are no good answer: both come as late as they can.
    """
    late = kind is Kind.AUTOCOMPLETE or habit.modal
    return max(defer_after_s, LATEST_S) if late else min(defer_after_s, LATEST_S)


def move_at(exchange: Exchange, now: float) -> Move:
    """Return what is due."""
    if not exchange.is_answered:
        waits = exchange.posting or exchange.dropped or now < exchange.due or now >= exchange.began + VOID_S
        return Move.NONE if waits else Move.DEFER
    if not exchange.is_open or exchange.told or exchange.is_foreign or exchange.posting:
        return Move.NONE
    left = exchange.deferred is not None and exchange.left_at is not None and now >= exchange.left_at + LEFT_S
    return Move.GIVE_UP if left or now >= exchange.began + GIVE_UP_S else Move.NONE


def next_at(exchange: Exchange, now: float) -> float | None:
    """Return when something may be due soon; None: nothing, before it is given up at the end of its token's life."""
    if not exchange.is_answered:
        return max(exchange.due, now) if now < exchange.began + VOID_S else None
    if not exchange.is_open or exchange.told or exchange.deferred is None or exchange.left_at is None:
        return None
    return exchange.left_at + LEFT_S


def deferral_of(exchange: Exchange, habit: Habit) -> Call:
    """Return the initial response that the guard gives."""
    if exchange.kind is Kind.AUTOCOMPLETE:
        return Call(Op.ANSWER, Answer.CHOICES)
    if exchange.from_message:
        return Call(Op.ANSWER, Answer.DEFERRED_UPDATE)
    return Call(Op.ANSWER, Answer.DEFERRED_MESSAGE, habit.private)


def deferred(exchange: Exchange, call: Call, *, is_foreign: bool = False) -> None:
    """Take note that Discord accepted the guard's initial response, or said that there is one (`is_foreign`)."""
    exchange.deferred = call.answer
    exchange.private = call.private
    exchange.is_open = call.answer is Answer.DEFERRED_MESSAGE and not is_foreign
    exchange.is_foreign = is_foreign


def accepted(exchange: Exchange, call: Call) -> None:
    """Take note that Discord accepted a call as it was, or that nothing had to be asked for it."""
    match call.op:
        case Op.ANSWER:
            first, exchange.answered = exchange.answered is None, call.answer
            if exchange.deferred is None:
                exchange.private, exchange.is_open = call.private, call.answer is Answer.DEFERRED_MESSAGE
            elif first and call.answer is Answer.DEFERRED_MESSAGE:
                exchange.wants = call.private
                if exchange.deferred is Answer.DEFERRED_UPDATE:
                    exchange.holder, exchange.private, exchange.is_open = NOWHERE, call.private, True
        case Op.EDIT | Op.FOLLOW_UP | Op.DELETE:
            exchange.is_open = False


def filled(exchange: Exchange, call: Call, message_id: str, *, private: bool) -> None:
    """Take note that what the code said is in this message now; ORIGINAL: in the original response."""
    if call.op is Op.ANSWER and exchange.answered is None:
        exchange.answered = call.answer
    exchange.holder, exchange.private, exchange.is_open, exchange.told = message_id, private, False, False


def told(exchange: Exchange, message_id: str) -> None:
    """Take note that an error is shown, to its user alone, where the answer would be; a late answer replaces it."""
    if exchange.deferred is None:
        exchange.deferred = Answer.DEFERRED_MESSAGE
        exchange.wants = exchange.private if exchange.answered is not None else None
    exchange.holder, exchange.private, exchange.is_open, exchange.told = message_id, True, True, True


def plan(exchange: Exchange, call: Call) -> tuple[Do, bool]:
    """Return what becomes of a call of the code, and for a message that is made whether its user alone sees it."""
    if exchange.deferred is None:
        return Do.PASS, call.private
    if call.op is Op.ANSWER:
        return _plan_answer(exchange, call)
    return _plan_message(exchange, call)


def fill(exchange: Exchange, *, private: bool) -> tuple[Do, bool]:
    """Return how what waits is filled; one whose audience is another is deleted, and made anew."""
    if exchange.holder == NOWHERE:
        return Do.NEW, private
    return (Do.EDIT if private == exchange.private else Do.REPLACE), private


def _plan_answer(exchange: Exchange, call: Call) -> tuple[Do, bool]:
    on_message = exchange.deferred is Answer.DEFERRED_UPDATE
    if exchange.answered is not None:
        return Do.PASS, call.private  # a second one is the code's own mistake, and Discord says so
    match call.answer:
        case Answer.CHOICES:
            return Do.NOTHING, False
        case Answer.MODAL:
            return Do.REFUSE, True
        case Answer.MESSAGE:
            return (Do.NEW, call.private) if on_message else fill(exchange, private=call.private)
        case Answer.DEFERRED_MESSAGE:
            return Do.NOTHING, call.private
        case Answer.UPDATE if on_message:
            return Do.EDIT, exchange.private
        case Answer.DEFERRED_UPDATE if on_message:
            return Do.NOTHING, False
    return Do.PASS, call.private


def _plan_message(exchange: Exchange, call: Call) -> tuple[Do, bool]:
    if exchange.is_open and call.op is Op.EDIT:
        return fill(exchange, private=exchange.private if exchange.wants is None else exchange.wants)
    if exchange.is_open and call.op is Op.FOLLOW_UP:
        return fill(exchange, private=call.private or bool(exchange.wants))
    if call.op is Op.FOLLOW_UP or exchange.holder == ORIGINAL:
        return Do.PASS, call.private
    if exchange.holder != NOWHERE:
        return Do.THERE, exchange.private
    return (Do.NOTHING if call.op is Op.DELETE else Do.MISSING), False
