"""The interaction guard: nobody who uses a bot sees "The application did not respond".

What a bot's code has not answered in time is deferred for it, and what the code says after that is put where it
belongs. What fails is told to the user, with a reference that the log has too. What comes too late for an answer is not
run for nothing. See docs/decisions/019-the-guard-answers-first.md.
"""

import asyncio
import base64
import contextlib
import contextvars
import functools
import heapq
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import hikari

from flotilla.protocol import WorkerLimits
from flotilla.tasks import spawn
from worker_bot import answering, texts
from worker_bot.answering import VOID_S, Answer, Call, Do, Exchange, Habits, Kind, Move, Op
from worker_bot.callbacks import EPHEMERAL, AsItIs, Json, Listener, Said, callback_result
from worker_bot.interactions import name_of
from worker_bot.lateness import TOO_LATE_MS, Lag, Lateness
from worker_bot.placing import TROUBLE, Held, Placer, Wire
from worker_bot.rest import ALREADY_ACKNOWLEDGED, is_answered_already

MAX_OPEN: Final = 10_000
"""Interactions that are looked after at once, about 5 MB; beyond it the oldest are left to themselves."""

HEAR_S: Final = 0.5
"""How long a bot's own code, which hears of failures too, may take before the guard tells the user."""

FINISH_S: Final = 1.0
SWEEP_S: Final = 20.0
LATE_LOG_S: Final = 60.0

UNSURE_MS: Final = 500.0
"""What an interaction is taken to have waited at most, while nothing is known to have kept it: clocks may be wrong."""

log = logging.getLogger("flotilla.guard")
_handler: contextvars.ContextVar[object] = contextvars.ContextVar("handler", default=None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an interaction by the guard's doing.

    what: `deferred`, `remade` (its audience was another than the deferral's), `failed`, `unanswered`, `no_modal`,
    `restarted` or `too_late`. reference: what the user was told. error: the class of what was raised.
    """

    interaction_id: int
    kind: Kind
    name: str
    what: str
    reference: str = ""
    error: str = ""


class TooLateForModalError(hikari.BadRequestError):
    """A modal cannot be shown any more: the interaction was deferred, since it was not answered in time."""


class InteractionGuard:
    """Looks after the answers of one bot. Made inside a running event loop.

    wire: how Discord is asked, once the bot runs. limits: those that hold, read whenever they matter. heard: told of
    each outcome; must not raise.
    """

    def __init__(
        self,
        wire: Callable[[], Wire],
        limits: Callable[[], WorkerLimits],
        heard: Callable[[Outcome], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire, self._limits, self._heard, self._clock = wire, limits, heard, clock
        self._loop = asyncio.get_running_loop()
        self._wall_s = time.time() - clock()  # ages by a clock that does not jump
        self._lateness, self._lag, self._habits = Lateness(), Lag(), Habits()
        self._held: dict[str, Held] = {}
        self._agenda: list[tuple[float, int, Held]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._late_logged_at, self._late_unlogged = float("-inf"), 0
        self._placer = Placer(wire, clock, self._start, lambda exchange: self._tell_of(exchange, "remade"))
        self.counts: Counter[str] = Counter()
        """Outcomes so far."""

    # What comes ------------------------------------------------------------------------------------------------------

    def beat(self, every_s: float) -> None:
        """Take note of a heartbeat of the event loop; the next one comes in `every_s`."""
        self._lag.beat(self._clock(), every_s)

    def see(self, shard: Any, payload: Any) -> bool:  # noqa: ANN401 - as Discord sent it
        """Look after an INTERACTION_CREATE; return whether the bot's code should get it. Never raises."""
        try:
            kind, interaction_id, token = Kind(payload["type"]), int(payload["id"]), str(payload["token"])
            name, application_id = name_of(payload), str(int(payload["application_id"]))
        except (TypeError, ValueError, LookupError, AttributeError):
            return True  # it is for hikari to say what that is
        limits = self._limits()
        now = self._clock()
        replayed = not getattr(shard, "is_connected", True)
        waited_ms = self._lateness.waited_ms(interaction_id, (now + self._wall_s) * 1000, replayed=replayed)
        if not limits.interaction_guard or token in self._held:
            return True
        is_kept = replayed or self._lag.is_late(now)
        began = now - (waited_ms if is_kept else min(waited_ms, UNSURE_MS)) / 1000
        after_s = answering.due_after_s(kind, self._habits.of(name), limits.interaction_defer_after_ms / 1000)
        from_message = payload.get("message") is not None
        exchange = Exchange(interaction_id, token, application_id, kind, name, from_message, began, due=began + after_s)
        exchange.locale = texts.spoken(payload.get("locale"), payload.get("guild_locale"), payload.get("guild_id"))
        if is_kept and waited_ms >= TOO_LATE_MS:
            self._drop(exchange, now)
            return False
        held = self._held[token] = Held(exchange)
        self._plan(held, exchange.due)
        self._forget(now)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        return True

    def _drop(self, exchange: Exchange, now: float) -> None:
        exchange.dropped = True
        self._tell_of(exchange, "too_late")
        self._late_unlogged += 1
        if now - self._late_logged_at >= LATE_LOG_S:
            log.warning("%s interactions came too late to be answered, and were not run", self._late_unlogged)
            self._late_logged_at, self._late_unlogged = now, 0

    def _forget(self, now: float) -> None:
        while self._held:
            token, oldest = next(iter(self._held.items()))
            if now - oldest.exchange.began < answering.TOKEN_S and len(self._held) <= MAX_OPEN:
                return
            del self._held[token]

    def find(self, token: str) -> Exchange | None:
        """Return the interaction with this token, if it is looked after."""
        held = self._held.get(token)
        return None if held is None else held.exchange

    # What is due -----------------------------------------------------------------------------------------------------

    def _plan(self, held: Held, at: float) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), held))
        if self._timer is None or at < self._timer.when():
            self._arm()

    def _arm(self) -> None:
        """Wake up for what is due first; what is answered by now never is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._agenda and answering.next_at(self._agenda[0][2].exchange, self._agenda[0][0]) is None:
            heapq.heappop(self._agenda)
        if self._agenda:
            wait_s = self._agenda[0][0] - self._clock()
            self._timer = self._loop.call_later(max(0.0, wait_s), self._wake)

    def _wake(self) -> None:
        now = self._clock()
        while self._agenda and self._agenda[0][0] <= now:
            _, _, held = heapq.heappop(self._agenda)
            match answering.move_at(held.exchange, now):
                case Move.DEFER if held.deferring is None:
                    held.deferring = self._start(self._defer(held))
                case Move.GIVE_UP:
                    self._start(self._give_up(held))
                case _:
                    at = answering.next_at(held.exchange, now)
                    if at is not None and at > now:
                        heapq.heappush(self._agenda, (at, next(self._numbers), held))
        self._timer = None
        self._arm()

    def _sweep(self) -> None:
        """Give up what nears the end of its token's life; once in a while, so that what waits costs nothing more."""
        now = self._clock()
        for held in self._held.values():  # in the order in which they came
            if now - held.exchange.began < answering.GIVE_UP_S:
                break
            if not held.is_given_up and answering.move_at(held.exchange, now) is Move.GIVE_UP:
                held.is_given_up = True
                self._start(self._give_up(held))
        self._forget(now)
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if self._held else None

    def _start(self, work: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - a coroutine
        task = spawn("the interaction guard", work, _failed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _defer(self, held: Held) -> None:
        exchange = held.exchange
        call = answering.deferral_of(exchange, self._habits.of(exchange.name))
        data: Json = {"flags": EPHEMERAL} if call.private else {}
        if call.answer is Answer.CHOICES:
            data = {"choices": []}
        try:
            async with asyncio.timeout(max(0.1, exchange.began + VOID_S - self._clock())):
                await self._wire().answer(exchange, call.answer or Answer.OTHER, data)
        except TROUBLE as error:
            if not is_answered_already(error):
                log.warning("%s could not be deferred: %r", exchange.name, error)
                return
            answering.deferred(exchange, call, is_foreign=True)
        else:
            answering.deferred(exchange, call)
            self._tell_of(exchange, "deferred")
        at = answering.next_at(exchange, self._clock())
        if at is not None:
            self._plan(held, at)

    async def _give_up(self, held: Held) -> None:
        exchange, reference = held.exchange, _reference()
        log.warning("%s was deferred and never answered (reference %s)", exchange.name, reference)
        await self._placer.tell(held, texts.say(exchange.locale, "guard.unanswered", reference=reference))
        self._tell_of(exchange, "unanswered", reference)

    # What the code asks ----------------------------------------------------------------------------------------------

    async def carry(self, exchange: Exchange, call: Call, said: Said, as_it_is: AsItIs) -> Any:  # noqa: ANN401
        """Carry out a call of the code, and return what hikari expects for it. Raises as hikari does."""
        held = self._held.get(exchange.token) or Held(exchange)
        exchange.calls += 1
        if call.op is Op.ANSWER and exchange.answered is None:
            held.spoke = _handler.get()
            self._habits.note(exchange.name, call)
        if held.deferring is not None and not held.deferring.done():
            await asyncio.wait({held.deferring})
        try:
            if exchange.deferred is None:
                return await self._as_it_is(held, call, said, as_it_is)
            async with held.locked():
                return await self._translated(held, call, said, as_it_is)
        finally:
            if exchange.is_over:
                self._held.pop(exchange.token, None)

    async def _as_it_is(self, held: Held, call: Call, said: Said, as_it_is: AsItIs) -> Any:  # noqa: ANN401
        exchange = held.exchange
        exchange.posting += 1
        try:
            result = await as_it_is()
        except hikari.BadRequestError as error:
            if call.op is not Op.ANSWER or not is_answered_already(error) or held.deferring is None:
                raise
            # The guard's deferral was accepted, but its answer was lost.
            if exchange.deferred is None:
                mine = answering.deferral_of(exchange, self._habits.of(exchange.name))
                answering.deferred(exchange, Call(mine.op, mine.answer))
            async with held.locked():
                return await self._translated(held, call, said, as_it_is)
        finally:
            exchange.posting -= 1
            if not exchange.is_answered and self._clock() >= exchange.due:
                self._plan(held, exchange.due)
        answering.accepted(exchange, call)
        return result

    async def _translated(self, held: Held, call: Call, said: Said, as_it_is: AsItIs) -> Any:  # noqa: ANN401
        exchange = held.exchange
        do, private = answering.plan(exchange, call)
        match do:
            case Do.PASS:
                result = await as_it_is()
                answering.accepted(exchange, call)
                return result
            case Do.NOTHING:
                answering.accepted(exchange, call)
                return callback_result(exchange, call.answer, None) if call.op is Op.ANSWER else None
            case Do.REFUSE:
                raise await self._no_modal(held)
            case Do.MISSING:
                raise _missing()
            case Do.THERE:
                return await self._placer.there(exchange, call, said)
        message = await self._placer.fill(exchange, call, said, do, private=private)
        return callback_result(exchange, call.answer, message) if call.op is Op.ANSWER else message

    async def _no_modal(self, held: Held) -> TooLateForModalError:
        exchange, reference = held.exchange, _reference()
        log.warning("%s opened its modal too late (reference %s)", exchange.name, reference)
        await self._placer.show(held, texts.say(exchange.locale, "guard.too_late_for_modal", reference=reference))
        self._tell_of(exchange, "no_modal", reference)
        return TooLateForModalError(
            url="",
            headers={},
            raw_body=b"",
            message="The interaction was deferred, since it had no answer in time; a modal must be its first response.",
            code=ALREADY_ACKNOWLEDGED,
        )

    # What fails ------------------------------------------------------------------------------------------------------

    async def handle(
        self,
        exchange: Exchange,
        listener: Listener,
        invoke: Callable[[Listener], Awaitable[None]],
        *,
        heard: bool,
    ) -> None:
        """Let a listener handle an interaction. heard: whether the bot's own code hears of failures too."""
        held, now = self._held.get(exchange.token) or Held(exchange), self._clock()
        if not exchange.is_answered and now >= exchange.began + TOO_LATE_MS / 1000:
            if not exchange.dropped:
                self._drop(exchange, now)  # the event loop was too late for it
            return
        me, failures = object(), list[Exception]()

        @functools.wraps(listener)
        async def watched(event: Any) -> None:  # noqa: ANN401
            try:
                await listener(event)
            except Exception as error:
                failures.append(error)
                raise

        _handler.set(me)
        exchange.handlers += 1
        exchange.left_at = None
        try:
            await invoke(watched)
        finally:
            exchange.handlers -= 1
            if not exchange.handlers:
                exchange.left_at = self._clock()
                if held.idle is not None:
                    held.idle.set()
        if failures:
            await self._escaped(held, failures[0], me, heard=heard)
        self._left(held)

    async def _escaped(self, held: Held, error: Exception, handler: object, *, heard: bool) -> None:
        """Tell of what a listener raised, unless somebody else answers, or the bot's own code tells of it."""
        exchange, calls = held.exchange, held.exchange.calls
        await asyncio.sleep(HEAR_S if heard else 0)
        if exchange.handlers and not exchange.is_answered:  # another one may be the one that answers
            held.idle = held.idle or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(held.idle.wait(), max(0.0, exchange.began + VOID_S - self._clock()))
        if exchange.calls != calls or (exchange.answered is not None and held.spoke is not handler):
            return
        await self._failed(held, error)

    def _left(self, held: Held) -> None:
        exchange = held.exchange
        if exchange.is_over:
            self._held.pop(exchange.token, None)
        elif not exchange.handlers and exchange.is_open and exchange.deferred is not None:
            self._plan(held, self._clock() + answering.LEFT_S)

    def notice(self, token: str) -> None:
        """Take note that a command failed, before the bot's own code hears of it."""
        held = self._held.get(token)
        if held is not None:
            held.heard_at = held.exchange.calls

    async def failed(self, token: str, error: Exception) -> bool:
        """See to a command that failed; return whether that is done: not if the bot's own code said something."""
        held = self._held.get(token)
        if held is None or held.exchange.calls != held.heard_at:
            return False
        await self._failed(held, error)
        return True

    async def _failed(self, held: Held, error: Exception) -> None:
        exchange, reference = held.exchange, _reference()
        log.error("%s failed (reference %s)", exchange.name, reference, exc_info=error)
        cause = error.__cause__ or error
        if not (isinstance(cause, TimeoutError) and exchange.answered is not None and not exchange.is_open):
            # a menu that nobody used is no failure
            await self._placer.tell(held, texts.say(exchange.locale, "guard.failed", reference=reference))
        self._tell_of(exchange, "failed", reference, type(cause).__name__)

    async def finish(self) -> None:
        """Tell all who still wait that this process ends, within `FINISH_S`. What has begun is not carried on."""
        waiting = [held for held in self._held.values() if self._waits(held.exchange)]
        telling = {self._start(self._restarted(held)) for held in waiting}
        if telling:
            await asyncio.wait(telling, timeout=FINISH_S)

    def _waits(self, exchange: Exchange) -> bool:
        if exchange.is_open:
            return not exchange.told
        return bool(exchange.handlers) and not exchange.is_answered and not exchange.posting

    async def _restarted(self, held: Held) -> None:
        reference = _reference()
        log.warning("%s was cut off by a restart (reference %s)", held.exchange.name, reference)
        await self._placer.tell(held, texts.say(held.exchange.locale, "guard.restarted", reference=reference))
        self._tell_of(held.exchange, "restarted", reference)

    def _tell_of(self, exchange: Exchange, what: str, reference: str = "", error: str = "") -> None:
        self.counts[what] += 1
        self._heard(Outcome(exchange.id, exchange.kind, exchange.name, what, reference, error))


def _failed(error: BaseException) -> None:
    log.error("the interaction guard failed", exc_info=error)


def _reference() -> str:
    """Return eight letters and digits that are hard to confuse."""
    return base64.b32encode(os.urandom(5)).decode()


def _missing() -> hikari.NotFoundError:
    return hikari.NotFoundError(url="", headers={}, raw_body=b"", message="Unknown Message", code=10008)
