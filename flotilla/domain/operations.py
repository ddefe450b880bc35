"""Bulk operations: one row per operation, one item per bot, and the rule which items may begin next."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flotilla.domain.bots import BotStatus
from flotilla.domain.reasons import reason
from flotilla.domain.sessions import BUDGET_REASONS
from flotilla.domain.worker import State
from flotilla.errors import FixInputError

MAX_BATCH = 1000


class Kind(enum.StrEnum):
    """What is done to each bot."""

    RESTART = "restart"


class OperationState(enum.StrEnum):
    """Where a whole operation stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(enum.StrEnum):
    """Where one bot of an operation stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


FINISHED = frozenset({OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED})
OPEN_ITEMS = frozenset({ItemState.PENDING, ItemState.RUNNING})


@dataclass(frozen=True, slots=True)
class Selector:
    """Which bots: those that match every part that is given; `everything` must be said, never assumed.

    ids and names of bots, tags (a bot needs one of them), observed states.
    """

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise FixInputError (`selector_empty`) unless some part is given, or everything is asked for explicitly."""
        if bool(self.ids or self.names or self.tags or self.states) == self.everything:
            raise FixInputError(
                'Say which bots: "ids", "names", "tags" or "states", or "all": true alone for every bot.',
                code="selector_empty",
            )


@dataclass(frozen=True, slots=True)
class Strategy:
    """How fast. batch_size: most bots in motion at once. item_timeout_s: how long one bot may take.

    max_failures: stop beginning new items after this many failed; None goes on to the end.
    """

    batch_size: int = 10
    item_timeout_s: float = 120.0
    max_failures: int | None = None

    def __post_init__(self) -> None:
        """Raise FixInputError (`strategy_invalid`) for numbers that would never finish or never begin."""
        if not 1 <= self.batch_size <= MAX_BATCH:
            raise FixInputError(f"batch_size must be from 1 to {MAX_BATCH}.", code="strategy_invalid")
        if not 1 <= self.item_timeout_s <= 3600:  # noqa: PLR2004 - the sentence below says it
            raise FixInputError("item_timeout_s must be from 1 to 3600 seconds.", code="strategy_invalid")
        if self.max_failures is not None and self.max_failures < 1:
            raise FixInputError("max_failures must be at least 1, or left out.", code="strategy_invalid")


@dataclass(frozen=True, slots=True)
class Item:
    """One bot's part. target_epoch: the bot's `desired_epoch` that this item asked for, None before it began."""

    bot_id: str
    bot_name: str
    state: ItemState = ItemState.PENDING
    detail: str | None = None
    target_epoch: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A bulk action that survives the loss of everything but the database. counts: items by state."""

    id: str
    kind: Kind
    selector: Selector
    strategy: Strategy
    state: OperationState
    requested_by: str
    created_at: datetime
    finished_at: datetime | None = None
    detail: str | None = None
    counts: dict[ItemState, int] = field(default_factory=dict)


def judge_item(
    item: Item, status: BotStatus, now: datetime, strategy: Strategy, *, wanted: bool = True
) -> tuple[ItemState, str | None]:
    """Return where a running restart item stands, and the sentence that explains what is no success. now: aware UTC.

    wanted: whether the bot is still to run; nobody waits for one that was stopped or removed meanwhile.
    """
    caught_up = item.target_epoch is not None and status.epoch >= item.target_epoch
    if caught_up and status.ready:
        return ItemState.SUCCEEDED, None
    if not wanted:
        return ItemState.SKIPPED, "The bot was stopped, or removed, meanwhile."
    if caught_up and status.state is State.FATAL:
        why = reason(status.reason or "crashed")
        return ItemState.FAILED, f"FATAL, {why.title}. {why.remedy}"
    if caught_up and status.state is State.BACKOFF and status.reason in BUDGET_REASONS:
        why = reason(status.reason)
        return ItemState.FAILED, f"Its session could not be resumed, and {why.title}. {why.remedy}"
    if item.started_at is not None and (now - item.started_at).total_seconds() >= strategy.item_timeout_s:
        return ItemState.FAILED, (
            f"Not READY within {strategy.item_timeout_s:g} s; the bot is {status.state}"
            f"{f' ({status.reason})' if status.reason else ''}. It may still come up: see the bot's log."
        )
    return ItemState.RUNNING, None


def may_begin(items: Iterable[Item], strategy: Strategy) -> int:
    """Return how many pending items may begin now, at least 0."""
    counts = count_items(items)
    if strategy.max_failures is not None and counts.get(ItemState.FAILED, 0) >= strategy.max_failures:
        return 0
    return max(0, min(strategy.batch_size - counts.get(ItemState.RUNNING, 0), counts.get(ItemState.PENDING, 0)))


def outcome(items: Sequence[Item], strategy: Strategy) -> tuple[OperationState, str | None]:
    """Return where the whole operation stands by its items, and a sentence if it stopped early."""
    counts = count_items(items)
    if counts.get(ItemState.RUNNING, 0):
        return OperationState.RUNNING, None
    failed = counts.get(ItemState.FAILED, 0)
    if counts.get(ItemState.PENDING, 0):
        if strategy.max_failures is None or failed < strategy.max_failures:
            return OperationState.RUNNING, None
        return OperationState.FAILED, f"Stopped after {failed} failures; the rest was left alone."
    return (OperationState.FAILED if failed else OperationState.SUCCEEDED), None


def count_items(items: Iterable[Item]) -> dict[ItemState, int]:
    """Return how many items are in each state; states without an item are left out."""
    counts: dict[ItemState, int] = {}
    for item in items:
        counts[item.state] = counts.get(item.state, 0) + 1
    return counts
