"""Adds up what workers count, bot by bot and for the fleet, and puts it where the API reads it.

Each report has all that its process has counted, so one that is lost costs nothing. What was added up lies in the store
as well: the next supervisor goes on from there. See docs/decisions/023-metrics-and-webhooks.md.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec import structs

from flotilla.domain.metrics import CACHES, NOTHING, BotMetrics, Counts, FleetMetrics, known, plus, since
from flotilla.ports import LiveMetrics
from flotilla.protocol import Measured
from supervisor.member import Member
from supervisor.storing import Away, Storing

WINDOW_S: Final = 300.0
"""How old a mark becomes before the next one takes its place."""

AT_ONCE: Final = 25
"""Reports that are added up before others get their turn: about 1 ms."""

AFTER_S: Final = 2.0
"""Adopting or starting bots comes before the import of the store's client."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Known:
    """Of one bot: its row, and the mark that takes the place of the row's."""

    row: BotMetrics
    next_at: float
    next_mark: Counts


@dataclass(slots=True)
class _News:
    member: Member
    message: Measured
    at: float = field(default_factory=time.monotonic)


class Metrics:
    """Of all bots. open_store: makes the store and says what it raises while it is away.

    member: returns a bot's, None if there is none any more.
    """

    def __init__(
        self,
        open_store: Callable[[], tuple[LiveMetrics, Away]],
        member: Callable[[str], Member | None],
        every_s: float,
        after_s: float = AFTER_S,
    ) -> None:
        self._open_store, self._member = open_store, member
        self._every_s, self._after_s = every_s, after_s
        self._began = time.monotonic()
        self._news: dict[tuple[str, int], _News] = {}
        self._bots: dict[str, _Known] = {}
        self._fleet = NOTHING
        self._changed: set[str] = set()
        self._gone: list[str] = []
        self._loaded = False
        self._store: LiveMetrics | None = None
        self._away: Away = ()
        self.storing = Storing("metrics", self._store_all, away=lambda: self._away)

    def take(self, member: Member, generation: int, message: Measured) -> None:
        """Take a report; a newer one of the same process takes its place."""
        self._news[member.bot.id, generation] = _News(member, message)

    def forget(self, bot_id: str) -> None:
        """Drop a bot that is removed. What it counted stays in the fleet's."""
        if self._bots.pop(bot_id, None) is not None:
            self._gone.append(bot_id)

    async def run(self) -> None:
        """Add up and store until cancelled; a store that is away is tried again each time."""
        await asyncio.sleep(self._after_s)
        store, self._away = await asyncio.to_thread(self._open_store)
        self._store = store
        try:
            while True:
                await self.storing.attempt()
                await asyncio.sleep(self._every_s)
        finally:
            await store.close()

    async def _store_all(self) -> float:
        """Add up what came, and store it. Raises what the store raises, and then loses nothing.

        Nothing is added up before the store has said what the supervisor before left.
        """
        if self._store is None:
            return 0.0
        if not self._loaded:
            await self._load(self._store)
        news, self._news = self._news, {}
        for number, ((bot_id, generation), one) in enumerate(news.items()):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            self._add(bot_id, generation, one)
        rows = {bot_id: self._bots[bot_id].row for bot_id in self._changed if bot_id in self._bots}
        gone = [bot_id for bot_id in self._gone if bot_id not in self._bots]
        await self._store.save(self._of_fleet(), rows, gone)
        self._changed -= rows.keys()
        self._gone = []
        return 0.0

    async def _load(self, store: LiveMetrics) -> None:
        fleet, rows = await store.load()
        if fleet is not None:
            self._fleet = fleet.counts
        for bot_id, row in rows.items():
            if self._member(bot_id) is None:
                self._gone.append(bot_id)
            else:
                self._bots[bot_id] = _Known(row, row.at, plus(row.before, row.last))
        self._loaded = True

    def _add(self, bot_id: str, generation: int, news: _News) -> None:
        if self._member(bot_id) is None:
            return
        counts, now = known(news.message.counts), time.time()
        cache = {name: size for name, size in news.message.cache.items() if name in CACHES}
        there = self._bots.get(bot_id)
        if there is None:
            # Nobody knows how much of it was told before: what a process had when it was met is not counted.
            met = counts if news.at - news.message.age_s < self._began else NOTHING
            row = BotMetrics(generation, now, counts, NOTHING, now, counts, cache)
            self._bots[bot_id] = _Known(row, now, counts)
            self._fleet = plus(self._fleet, since(counts, met))
        elif generation < there.row.generation:
            return
        else:
            row = there.row
            last, before = (row.last, row.before) if generation == row.generation else (NOTHING, _all_of(row))
            self._fleet = plus(self._fleet, since(counts, last))
            there.row = BotMetrics(generation, now, counts, before, row.mark_at, row.mark, cache or row.cache)
            if now - there.next_at >= WINDOW_S:
                there.row = structs.replace(there.row, mark_at=there.next_at, mark=there.next_mark)
                there.next_at, there.next_mark = now, _all_of(there.row)
        self._changed.add(bot_id)

    def _of_fleet(self) -> FleetMetrics:
        cache: Counter[str] = Counter()
        guilds = {}
        for bot_id, there in self._bots.items():
            member = self._member(bot_id)
            if member is not None and member.process is not None and member.worker.generation == there.row.generation:
                cache.update(there.row.cache)
                guilds[bot_id] = there.row.cache.get("guilds", 0)
        return FleetMetrics(time.time(), self._fleet, dict(cache), guilds)


def _all_of(row: BotMetrics) -> Counts:
    return plus(row.before, row.last)
