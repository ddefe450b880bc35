"""Takes what Discord did to bots from their workers to the database; a worker keeps it until it is there."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from flotilla.domain.dated import not_ahead
from flotilla.domain.happenings import DISCORD_CODES, KINDS, Happening, Occurrence
from flotilla.errors import RetryError
from flotilla.ports import FleetStore
from flotilla.protocol import Happened, HappenedStored, ToWorker
from supervisor.member import Member

GATHER_S = 0.1
"""What comes within this time is stored together."""

RETRY_CAP_S = 5.0
STORE_TIMEOUT_S = 5.0
log = structlog.get_logger()


class Occurrences:
    """Stores batches, then answers them. One that is not answered is told again, so at most one of a worker waits."""

    def __init__(self, store: FleetStore, tell: Callable[[str, ToWorker], bool]) -> None:
        self._store, self._tell = store, tell
        self._waiting: dict[tuple[str, int], tuple[Member, Happened]] = {}
        self._came = asyncio.Event()
        self._failures = 0

    def take(self, member: Member, generation: int, message: Happened) -> None:
        """Take a batch; the same one again takes its own place."""
        if message.lost:
            log.error("occurrences.lost", bot=member.bot.name, rows=message.lost)
        self._waiting[member.bot.id, generation] = member, message
        self._came.set()

    async def run(self) -> None:
        """Store until cancelled."""
        while True:
            await self._came.wait()
            await asyncio.sleep(self._pause_s())
            self._came.clear()
            await self.pass_on()

    async def pass_on(self) -> None:
        """Store what waits. While the database is away nobody is answered, and workers tell again."""
        batches, self._waiting = list(self._waiting.values()), {}
        now = datetime.now(UTC)
        found = [_happening(member, row, now) for member, message in batches for row in message.rows]
        rows = [row for row in found if row is not None]
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._store.record_happenings(rows)
        except (RetryError, TimeoutError) as fault:
            self._failures += 1
            if self._failures == 1:
                log.warning("occurrences.database_away", rows=len(rows), error=str(fault) or "it hangs")
            return
        self._failures = 0
        for member, message in batches:
            self._tell(member.bot.id, HappenedStored(message.number))
        names = {member.bot.id: member.bot.name for member, _ in batches}
        for row in rows:
            bot = names[row.bot_id or ""]
            log.info("happening", bot=bot, code=row.code, title=KINDS[row.code].title, detail=row.detail)

    def _pause_s(self) -> float:
        if not self._failures:
            return GATHER_S
        return random.uniform(GATHER_S, min(RETRY_CAP_S, GATHER_S * 2 ** min(self._failures, 10)))  # noqa: S311 - jitter


def _happening(member: Member, row: Occurrence, now: datetime) -> Happening | None:
    """Return what a worker told; None if it is none of what workers may tell. Its time is not believed blindly."""
    if row.code not in DISCORD_CODES:
        return None
    row_id, at = not_ahead(row.id, row.at, now.timestamp())
    return Happening(row_id, member.bot.id, datetime.fromtimestamp(at, UTC), row.code, dict(row.detail))
