"""What goes over the wire. Requests refuse unknown fields; answers say exactly what is declared."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flotilla.db.bots import FleetCounts
from flotilla.db.supervisors import SupervisorSeen
from flotilla.domain import operations as domain
from flotilla.domain.bots import BotView, Desired
from flotilla.domain.operations import ItemState, Kind, OperationState
from flotilla.domain.reasons import reason
from flotilla.domain.uptime import Report, Uptime, budget, burn_rate
from flotilla.domain.vitals import HostVitals
from flotilla.domain.worker import State

# PostgreSQL's text cannot hold NUL; without this the database would refuse what the caller should be told.
Text = Annotated[str, Meta(max_length=64, pattern="^[^\x00]*$")]
Limit = Annotated[int, Meta(ge=1, le=200, description="How many items the page has at most.")]
Cursor = Annotated[str, Meta(max_length=512, description="next_cursor of the page before; left out for the first.")]

# Requests ------------------------------------------------------------------------------------------------------------


class PageQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which page of a list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class BotQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which bots, and which page of them."""

    limit: Limit = 50
    cursor: Cursor | None = None
    name: Annotated[Text, Meta(description="The bot of exactly this name.")] | None = None
    tag: Annotated[Text, Meta(description="Bots that have this tag.")] | None = None
    state: State | None = None


class NewBot(Struct, forbid_unknown_fields=True, frozen=True):
    """A bot to add. The token is encrypted on arrival and never answered."""

    name: Annotated[str, Meta(description="1 to 64 of a-z, 0-9, dot, underscore, hyphen; unique.")]
    token: Annotated[str, Meta(description="From the Developer Portal: Bot, Reset Token.", max_length=512)]
    tags: list[str] = []
    desired: Desired = Desired.RUNNING

    def __repr__(self) -> str:
        """Leave the token out, so that no log of this object can hold it."""
        return f"NewBot(name={self.name!r}, token=…)"


class NewToken(Struct, forbid_unknown_fields=True, frozen=True):
    """A bot's next token, of the same application. It is encrypted on arrival and never answered."""

    token: Annotated[str, Meta(description="From the Developer Portal: Bot, Reset Token.", max_length=512)]

    def __repr__(self) -> str:
        """Leave the token out, so that no log of this object can hold it."""
        return "NewToken(token=…)"


class Selector(Struct, forbid_unknown_fields=True, frozen=True):
    """Which bots: those that match every part that is given, or all of them if that is said."""

    ids: list[Text] = []
    names: list[Text] = []
    tags: list[Text] = []
    states: list[State] = []
    everything: bool = field(name="all", default=False)

    def to_domain(self) -> domain.Selector:
        """Return the domain's selector. Raises FixInputError (`selector_empty`)."""
        return domain.Selector(
            tuple(dict.fromkeys(self.ids)),
            tuple(dict.fromkeys(self.names)),
            tuple(dict.fromkeys(self.tags)),
            tuple(dict.fromkeys(self.states)),
            self.everything,
        )


class Strategy(Struct, forbid_unknown_fields=True, frozen=True):
    """How fast. max_failures null: go on to the end whatever fails."""

    batch_size: Annotated[int, Meta(ge=1, le=1000, description="Most bots in motion at once.")] = 10
    item_timeout_s: Annotated[float, Meta(ge=1, le=3600, description="Seconds one bot may take to be READY.")] = 120.0
    max_failures: Annotated[int, Meta(ge=1, description="Begin nothing new after so many failures.")] | None = None

    def to_domain(self) -> domain.Strategy:
        """Return the domain's strategy. Raises FixInputError (`strategy_invalid`)."""
        return domain.Strategy(self.batch_size, self.item_timeout_s, self.max_failures)


class NewOperation(Struct, forbid_unknown_fields=True, frozen=True):
    """A bulk action. dry_run: say what it would do, and do nothing."""

    kind: Kind
    selector: Selector
    strategy: Strategy = Strategy()
    dry_run: bool = False


# Answers -------------------------------------------------------------------------------------------------------------


class Bot(Struct, frozen=True):
    """A bot: what is wanted of it (`desired`) and what its supervisor observes (all else that changes)."""

    id: str
    name: str
    application_id: str
    tags: list[str]
    desired: Desired
    state: State
    ready: bool
    reason: str | None
    reason_code: str | None
    remedy: str | None
    pid: int | None
    generation: int
    memory_bytes: Annotated[int, Meta(description="USS of the last sample.")] | None
    latency_ms: Annotated[float, Meta(description="Round trip of the last gateway heartbeat.")] | None
    uptime_ratio_24h: Annotated[float, Meta(description="READY share of the last 24 hours' time that counts.")] | None
    since: Annotated[datetime, Meta(description="Since when it is in this state.")] | None
    created_at: datetime
    next_try_at: Annotated[datetime, Meta(description="When one that waits for session starts is tried again.")] | None
    removing: Annotated[bool, Meta(description="Its removal was asked for; it is gone once it has stopped.")]
    config_version: Annotated[int, Meta(description="Of how it is to be.")]
    config_running: Annotated[int, Meta(description="Version that its worker runs.")] | None
    config_fault: Annotated[str, Meta(description="Why config_version was gone back from, as reason codes.")] | None

    @classmethod
    def of(cls, view: BotView) -> "Bot":
        """Return the answer for a domain view."""
        bot, status = view.bot, view.status
        why = reason(status.reason) if status.reason else None
        return cls(
            id=bot.id,
            name=bot.name,
            application_id=bot.application_id,
            tags=list(bot.tags),
            desired=bot.desired,
            state=status.state,
            ready=status.ready,
            reason=why.title if why else None,
            reason_code=status.reason,
            remedy=why.remedy if why else None,
            pid=status.pid,
            generation=status.generation,
            memory_bytes=status.memory_bytes,
            latency_ms=status.latency_ms,
            uptime_ratio_24h=view.uptime_ratio_24h,
            since=status.since,
            created_at=bot.created_at,
            next_try_at=status.vitals.session_start_at if status.state is State.BACKOFF else None,
            removing=bot.deleted_at is not None,
            config_version=bot.config_version,
            config_running=status.config_version,
            config_fault=view.refused.code if view.refused else None,
        )


class UptimeWindow(Struct, frozen=True):
    """How a bot was in a window that ends now. up_s, down_s, unwanted_s and unknown_s add up to its length.

    Null: no time counts, so nothing can be said.
    """

    ratio: Annotated[float, Meta(description="up_s of the time that counts, up_s + down_s.")] | None
    up_s: Annotated[float, Meta(description="RUNNING and READY.")]
    down_s: Annotated[float, Meta(description="Not up although it was to be expected.")]
    unwanted_s: Annotated[float, Meta(description="Stopped on purpose, or not there yet; counts neither way.")]
    unknown_s: Annotated[float, Meta(description="No supervisor was there to see it; counts neither way.")]
    target: Annotated[float, Meta(description="What ratio should be at least.")]
    budget_s: Annotated[float, Meta(description="Downtime that target allows in the time that counts.")] | None
    budget_left_s: Annotated[float, Meta(description="Negative when the target is missed.")] | None
    budget_left_ratio: Annotated[float, Meta(description="budget_left_s of budget_s.")] | None
    burn_rate_1h: Annotated[float, Meta(description="1: in this hour as much as allowed; 2: twice that.")] | None
    burn_rate_24h: Annotated[float, Meta(description="The same for the last 24 hours.")] | None


class UptimeWindows(Struct, frozen=True):
    """The windows, all ending at the same moment."""

    day: UptimeWindow = field(name="24h")
    week: UptimeWindow = field(name="7d")
    month: UptimeWindow = field(name="30d")


class BotUptime(Struct, frozen=True):
    """A bot's uptime against its target, exact to the microsecond that was recorded."""

    bot_id: str
    target: float
    windows: UptimeWindows

    @classmethod
    def of(cls, bot_id: str, report: Report, target: float) -> "BotUptime":
        """Return the answer for a domain report."""
        rates = burn_rate(report.last_hour, target), burn_rate(report.windows["24h"], target)
        day, week, month = (_window(report.windows[name], target, *rates) for name in ("24h", "7d", "30d"))
        return cls(bot_id, target, UptimeWindows(day, week, month))


def _window(spent: Uptime, target: float, rate_1h: float | None, rate_24h: float | None) -> UptimeWindow:
    left = budget(spent, target)
    return UptimeWindow(
        ratio=spent.ratio,
        up_s=spent.up.total_seconds(),
        down_s=spent.down.total_seconds(),
        unwanted_s=spent.unwanted.total_seconds(),
        unknown_s=spent.unknown.total_seconds(),
        target=target,
        budget_s=left.allowed_s if left else None,
        budget_left_s=left.left_s if left else None,
        budget_left_ratio=left.left_ratio if left else None,
        burn_rate_1h=rate_1h,
        burn_rate_24h=rate_24h,
    )


class BotPage(Struct, frozen=True):
    """Bots in the order of their names."""

    items: list[Bot]
    next_cursor: str | None


class Operation(Struct, frozen=True):
    """A bulk action and how far it has come. progress: share of its bots that are done with, 0 to 1."""

    id: str
    kind: Kind
    selector: Selector
    strategy: Strategy
    state: OperationState
    detail: str | None
    requested_by: Annotated[str, Meta(description="Name of the API key that asked for it.")]
    created_at: datetime
    finished_at: datetime | None
    total: int
    counts: Annotated[dict[ItemState, int], Meta(description="Bots by the state of their item; every state is there.")]
    progress: float

    @classmethod
    def of(cls, operation: domain.Operation) -> "Operation":
        """Return the answer for a domain operation."""
        counts = {state: operation.counts.get(state, 0) for state in ItemState}
        total = sum(counts.values())
        still_open = sum(counts[state] for state in domain.OPEN_ITEMS)
        chosen, strategy = operation.selector, operation.strategy
        return cls(
            id=operation.id,
            kind=operation.kind,
            selector=Selector(
                list(chosen.ids), list(chosen.names), list(chosen.tags), list(chosen.states), chosen.everything
            ),
            strategy=Strategy(strategy.batch_size, strategy.item_timeout_s, strategy.max_failures),
            state=operation.state,
            detail=operation.detail,
            requested_by=operation.requested_by,
            created_at=operation.created_at,
            finished_at=operation.finished_at,
            total=total,
            counts=counts,
            progress=1.0 if total == 0 else (total - still_open) / total,
        )


class OperationPage(Struct, frozen=True):
    """Operations, the newest first."""

    items: list[Operation]
    next_cursor: str | None


class OperationItem(Struct, frozen=True):
    """One bot's part of an operation."""

    bot_id: str
    bot_name: str
    state: ItemState
    detail: str | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, item: domain.Item) -> "OperationItem":
        """Return the answer for a domain item."""
        return cls(item.bot_id, item.bot_name, item.state, item.detail, item.started_at, item.finished_at)


class OperationItemPage(Struct, frozen=True):
    """Items in the order of their bots' names."""

    items: list[OperationItem]
    next_cursor: str | None


class DryRun(Struct, frozen=True):
    """What an operation would do. session_starts: IDENTIFYs it costs at most; a session that is resumed costs none."""

    total: int
    session_starts: int
    skipped: Annotated[int, Meta(description="Stopped bots, which a restart leaves alone.")]
    bots: Annotated[list[str], Meta(description="Names of the first 50.")]
    from_reserve: Annotated[
        list[str],
        Meta(description="Those that would need what is kept for people; the first 50."),
    ]
    refused: Annotated[
        list[str], Meta(description="Those that must wait if their session cannot be resumed; the first 50.")
    ]
    dry_run: bool = True


class Supervisor(Struct, frozen=True):
    """When the supervisor of a slot last reported, and how the address of its host is."""

    slot: int
    pid: int
    seen_at: datetime
    vitals: HostVitals

    @classmethod
    def of(cls, seen: SupervisorSeen) -> "Supervisor":
        """Return the answer for a report."""
        return cls(seen.slot, seen.pid, seen.seen_at, seen.vitals)


class FleetStatus(Struct, frozen=True):
    """The whole fleet in numbers. bots: how many are in each state; every state is there."""

    bots: dict[State, int]
    ready: int
    total: int
    desired_running: int
    supervisors: list[Supervisor]
    version: str

    @classmethod
    def of(cls, counts: FleetCounts, supervisors: list[SupervisorSeen], version: str) -> "FleetStatus":
        """Return the answer for the fleet's numbers."""
        return cls(
            bots={state: counts.by_state.get(state, 0) for state in State},
            ready=counts.ready,
            total=counts.total,
            desired_running=counts.desired_running,
            supervisors=[Supervisor.of(seen) for seen in supervisors],
            version=version,
        )


class Health(Struct, frozen=True):
    """The process lives."""

    status: str = "ok"


class Check(Struct, frozen=True):
    """One thing that was looked at. detail: a fact, or what is wrong and what to do.

    needed: without it the API is not ready; without another one it is merely degraded.
    """

    ok: bool
    detail: str
    needed: bool


class Readiness(Struct, frozen=True):
    """What was looked at, by name. The last four are absent where the API cannot see its installation's home."""

    database: Check
    valkey: Check
    supervisor: Check
    fork_server: Check
    home: Check | UnsetType = UNSET
    jobs: Check | UnsetType = UNSET
    supervisord: Check | UnsetType = UNSET
    release: Check | UnsetType = UNSET


class FieldError(Struct, frozen=True):
    """What is wrong with one part of a request. pointer: where, as a JSON pointer."""

    detail: str
    pointer: str


class Problem(Struct, frozen=True):
    """An error (RFC 9457). `code` is stable; `detail` is for people and says what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str
    errors: list[FieldError] = []
