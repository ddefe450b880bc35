"""What a bot's past looks like on the wire."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from api.happenings import Happening
from api.schemas import Bot
from flotilla.db.diagnosis import Record
from flotilla.db.happenings import HappeningView
from flotilla.domain.bots import BotView
from flotilla.domain.diagnosis import Exit, Stacks, exit_in_words
from flotilla.domain.heap import MAX_TRACE_S, Heap, HeapReport
from flotilla.domain.policy import Policy
from flotilla.domain.reasons import reason
from flotilla.domain.vitals import Vitals


class BotExit(Struct, frozen=True):
    """The end of one incarnation of a bot."""

    id: str
    at: datetime
    generation: int
    exit_code: Annotated[int, Meta(description="At least 0, or minus a signal; null if nobody saw it.")] | None
    how: Annotated[str, Meta(description="The exit code in words.")]
    reason: Annotated[str, Meta(description="In words; null if a stop was asked for.")] | None
    reason_code: str | None
    tail: Annotated[str, Meta(description="The last lines of its log at that moment, without secrets.")]

    @classmethod
    def of(cls, row: Exit) -> "BotExit":
        """Return the answer for an exit."""
        why = reason(row.reason).title if row.reason else None
        how = exit_in_words(row.exit_code)
        return cls(row.id, row.at, row.generation, row.exit_code, how, why, row.reason, row.tail)


class BotExitPage(Struct, frozen=True):
    """Exits, the newest first. The last 20 of each bot are kept."""

    items: list[BotExit]
    next_cursor: str | None


class StacksRequest(Struct, frozen=True):
    """Stacks were asked for; the answer has this `epoch` or a greater one."""

    bot_id: str
    epoch: int


class BotStacks(Struct, frozen=True):
    """Where a bot's threads and tasks were. epoch 0: nobody has asked yet."""

    bot_id: str
    epoch: int
    at: datetime | None = None
    generation: int | None = None
    text: str | None = None
    fault: Annotated[str, Meta(description="Why there are none.")] | None = None

    @classmethod
    def of(cls, bot_id: str, stacks: Stacks | None) -> "BotStacks":
        """Return the answer for what was written last."""
        if stacks is None:
            return cls(bot_id, 0)
        return cls(bot_id, stacks.epoch, stacks.at, stacks.generation, stacks.text, stacks.fault)


class NewHeapRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """A request for what a bot's memory is made of."""

    trace_s: Annotated[
        float, Meta(ge=0, le=MAX_TRACE_S, description="Trace allocations for so many seconds first; slows the bot.")
    ] = 0.0


class HeapRequest(Struct, frozen=True):
    """The heap was asked for; the answer has this `epoch` or a greater one."""

    bot_id: str
    epoch: int


class BotHeap(Struct, frozen=True):
    """What a bot's memory was made of: types, counts and sizes, never values. epoch 0: nobody has asked yet."""

    bot_id: str
    epoch: int
    at: datetime | None = None
    generation: int | None = None
    report: HeapReport | None = None
    fault: Annotated[str, Meta(description="Why there is none.")] | None = None

    @classmethod
    def of(cls, bot_id: str, heap: Heap | None) -> "BotHeap":
        """Return the answer for what was said last."""
        if heap is None:
            return cls(bot_id, 0)
        return cls(bot_id, heap.epoch, heap.at, heap.generation, heap.report, heap.fault)


class Limits(Struct, frozen=True):
    """What a bot is held to; `GET …/policy` has all of it and says what is the bot's own."""

    startup_timeout_s: float
    liveness_timeout_s: float
    memory_limit_bytes: int
    memory_soft_bytes: int
    max_failures: int
    intensity: int
    intensity_period_s: float
    delivery_probe: bool
    delivery_quiet_s: float
    delivery_answer_s: float
    reconnect_timeout_s: float
    interaction_guard: bool
    interaction_defer_after_ms: float
    response_target_ms: float
    uptime_target: float
    session_reserve: int

    @classmethod
    def of(cls, policy: Policy) -> "Limits":
        """Return the answer for a policy."""
        return cls(*(getattr(policy, name) for name in cls.__struct_fields__))


class Inspection(Struct, frozen=True):
    """A bot at a glance, with its recent past."""

    bot: Bot
    limits: Limits
    vitals: Vitals
    restarts_24h: Annotated[int, Meta(description="Incarnations begun in the last 24 hours, the first not counted.")]
    failures: Annotated[int, Meta(description="Failed runs in a row.")]
    heartbeat_at: Annotated[datetime, Meta(description="Last seen heartbeat; noted every 5 s.")] | None
    fork_server: Annotated[int, Meta(description="Which one made its process; the same number, the same code.")] | None
    exits: Annotated[list[BotExit], Meta(description="The last three, the newest first.")]
    happenings: Annotated[list[Happening], Meta(description="The last five of each source, the newest first.")]

    @classmethod
    def of(cls, view: BotView, record: Record, policy: Policy, happenings: Iterable[HappeningView]) -> "Inspection":
        """Return the answer for a bot, its past and its limits."""
        bot = Bot.of(view)
        is_first = bot.generation <= record.starts
        return cls(
            bot,
            Limits.of(policy),
            view.status.vitals,
            max(0, record.starts - is_first),
            record.failures,
            record.heartbeat_at,
            record.fork_server,
            [BotExit.of(row) for row in record.exits],
            [Happening.of(row) for row in happenings],
        )
