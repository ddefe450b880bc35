"""What the programs need from the world. Each port has a real adapter and an in-memory fake with one contract suite."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flotilla.domain.bot_secrets import Encrypted
from flotilla.domain.bots import Bot, BotStatus, Transition
from flotilla.domain.claims import Claim, Claimant
from flotilla.domain.command_logs import CommandLog
from flotilla.domain.config_record import NO_OUTCOME, ConfigOutcome, GuildVersion, Version
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.happenings import Happening
from flotilla.domain.heap import Heap
from flotilla.domain.metrics import BotMetrics, FleetMetrics
from flotilla.domain.rollover_record import RolloverStatus, RolloverView
from flotilla.domain.sessions import Ledger, Limit, Start
from flotilla.domain.stock import StockAsked, StockItem, StockPage
from flotilla.domain.uptime import Report
from flotilla.domain.vitals import HostVitals


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One bot as the supervisor meets it: what is wanted and what was last observed.

    stacks_answered, heap_answered: the `stacks_epoch` and the `heap_epoch` that were answered last. outcome: what came
    of its configs.
    """

    bot: Bot
    status: BotStatus
    stacks_answered: int = 0
    heap_answered: int = 0
    outcome: ConfigOutcome = NO_OUTCOME


class FleetStore(Protocol):
    """The database as the supervisor uses it. Every call raises RetryError when the database is away."""

    async def fleet(self) -> list[FleetRow]:
        """Return every bot, those whose removal was asked for included."""

    async def wanted(self) -> list[FleetRow]:
        """Return what `fleet` does, with desired state as it is now and observed state as it may have been before.

        Cheap while nothing that is wanted changes: then it is the very list that was returned last.
        """

    async def credentials(self, bot_ids: Iterable[str]) -> dict[str, Encrypted]:
        """Return tokens and secrets of bots as stored, by their ids, without those of bots that are gone."""

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        """Store observed state, all or nothing. Bots that are gone meanwhile are passed over."""

    async def record_exits(self, exits: Sequence[Exit]) -> None:
        """Store how incarnations ended, keeping the last `EXITS_KEPT` of each bot. Passes over bots that are gone."""

    async def record_stacks(self, stacks: Stacks) -> None:
        """Store the stacks that were asked for, in place of those before. Passes over a bot that is gone."""

    async def record_heap(self, heap: Heap) -> None:
        """Store the heap that was asked for, in place of the one before. Passes over a bot that is gone."""

    async def record_happenings(self, events: Sequence[Happening]) -> None:
        """Store what happened, keeping the last `HAPPENINGS_KEPT` of each bot and source.

        Passes over bots that are gone, and what is there already.
        """

    async def drop(self, bot_ids: Iterable[str]) -> None:
        """Remove bots for good, with all that was observed of them."""

    async def seen(
        self, slot: int, pid: int, started_at: datetime, now: datetime, vitals: HostVitals | None = None
    ) -> None:
        """Record that the supervisor of `slot` is alive, and how its host is."""

    async def last_seen(self, slot: int) -> datetime | None:
        """Return when the supervisor of `slot` was last recorded as alive, None if it never was."""


class RolloverStore(Protocol):
    """Roll-overs as the supervisor meets them. Every call raises RetryError when the database is away."""

    async def unfinished(self) -> RolloverView | None:
        """Return the roll-over that is not finished, None if there is none."""

    async def save(self, status: RolloverStatus) -> None:
        """Store where a roll-over stands."""

    async def last_server(self) -> int:
        """Return the highest number that a fork server of this fleet had, 0 if there was none."""


class SessionStore(Protocol):
    """The database as the ledger of session starts uses it. Every call raises RetryError when the database is away."""

    async def ledgers(self, now: datetime) -> dict[str, Ledger]:
        """Return the ledger of every application, by its id; starts that no longer count at `now` are left out."""

    async def redate(self, seen_at: datetime, now: datetime) -> int:
        """Move what was recorded until `seen_at` as the clock has jumped since; return how many starts that were."""

    async def record(self, starts: Sequence[tuple[str, Start]], limits: Sequence[tuple[str, Limit]]) -> None:
        """Store starts, and what Discord said, by application id; all or nothing.

        A start that is there already, at the same time to the microsecond, is passed over. Of two limits of one
        application the last one holds.
        """

    async def forget(self, now: datetime, batch: int) -> int:
        """Remove at most `batch` starts that no longer count at `now`, and limits long over; return how many starts."""


class CommandLogStore(Protocol):
    """The database as command logs reach it. Raises RetryError when the database is away."""

    async def record_command_logs(self, rows: Sequence[tuple[str, CommandLog]]) -> None:
        """Store logs by bot id, all or nothing. Passes over those that are there, and bots that are gone."""


class ConfigStore(Protocol):
    """Configs as the supervisor meets them, beside those in `FleetRow`. Raises RetryError when the database is away."""

    async def record_outcomes(self, outcomes: Mapping[str, ConfigOutcome], at: datetime) -> None:
        """Store what came of bots' configs, by bot id, in place of what was stored. Passes over bots that are gone."""

    async def history(self, bot_id: str) -> list[Version]:
        """Return the versions that are remembered, newest first. Raises NotFoundError for a bot that is gone."""

    async def guild(self, bot_id: str, guild_id: str) -> GuildVersion:
        """Return the config of a guild, the default if none was set. Raises NotFoundError for a bot that is gone."""

    async def change_guild(self, bot_id: str, guild_id: str, changes: Mapping[str, object]) -> GuildVersion:
        """Put a merge patch on a guild's config, and return it. Raises FixInputError, and then changes nothing."""

    async def guilds_since(self, bot_id: str, guilds_version: int, limit: int) -> list[GuildVersion]:
        """Return at most `limit` configs of guilds that changed after that version, oldest change first."""


class LiveMetrics(Protocol):
    """Live metrics as the supervisor keeps them. Each call raises `flotilla.valkey.AWAY` when the store is away."""

    async def load(self) -> tuple[FleetMetrics | None, dict[str, BotMetrics]]:
        """Return what was saved last, by bot id."""

    async def save(self, fleet: FleetMetrics, bots: Mapping[str, BotMetrics], gone: Sequence[str]) -> None:
        """Store the fleet's and these bots', all or nothing, and forget those that are gone."""

    async def close(self) -> None:
        """Close the connections."""


class UptimeStore(Protocol):
    """What is recorded of how bots were."""

    async def report(self, bot_id: str, now: datetime) -> Report:
        """Return a bot's uptime in every window that ends `now`. Raises NotFoundError, RetryError."""


class StockStore(Protocol):
    """What bots have in stock, as their users look at it. Raises RetryError when the database is away."""

    async def stock_page(self, bot_id: str, wanted: StockAsked) -> StockPage:
        """Return a page of a bot's items by their names; the last page, if there are not so many."""

    async def search_stock(self, bot_id: str, text: str, limit: int) -> list[StockItem]:
        """Return up to `limit` items whose name, category or sku has `text` in it, those first that begin with it."""

    async def stock_item(self, bot_id: str, sku: str) -> list[StockItem]:
        """Return the item with this sku, or nothing."""


class NudgeListener(Protocol):
    """Where the supervisor feels a tap on its shoulder: 'desired state changed, look now'.

    A lost one costs a poll interval.
    """

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield an iterator that gives one item for every tap, or for several at once."""


class Nudges(NudgeListener, Protocol):
    """Both ends of the taps."""

    async def send(self) -> None:
        """Tap. Never raises: the poll finds the change anyway."""


class ClaimStore(Protocol):
    """Who runs the bots of a slot. Each call is one transaction and raises RetryError when the database is away."""

    async def read(self, slot: int) -> Claim | None:
        """Return the claim as it is."""

    async def take(self, slot: int, mine: Claimant, over: Claim | None = None) -> Claim:
        """Make the slot ours if nobody else's claim stands in the way; return the claim that holds then.

        over: another's claim that is to be taken over, if it still is as it was read.
        """

    async def beat(self, slot: int, epoch: int) -> bool:
        """Say that the holder of `epoch` lives; return False if that is not what holds any more."""

    async def adopted(self, slot: int, epoch: int, boot_id: str) -> None:
        """Record that the processes in `bot_status` are of this boot from now on."""

    async def release(self, slot: int, epoch: int) -> None:
        """Say that the holder of `epoch` runs no bot any more; the slot is free."""

    async def yield_to(self, slot: int, epoch: int) -> None:
        """Say to whoever has taken over as `epoch` that the one before runs no bot any more."""
