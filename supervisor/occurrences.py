"""Takes what Discord did to bots from their workers to the database; a worker keeps it until it is there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flotilla.domain.dated import not_ahead
from flotilla.domain.happenings import DISCORD_CODES, KINDS, Happening, Occurrence
from flotilla.ports import FleetStore
from flotilla.protocol import Happened, HappenedStored, ToWorker
from supervisor.member import Member
from supervisor.writer import Refused, Writer

GATHER_S = 0.1
"""What comes within this time is stored together."""

STORE_TIMEOUT_S = 5.0
log = structlog.get_logger()


class Occurrences:
    """Stores batches, then answers them. One that is not answered is told again, so at most one of a worker waits."""

    def __init__(self, store: FleetStore, tell: Callable[[str, ToWorker], bool], refused: Refused) -> None:
        self._tell = tell
        self.writer: Writer[Happening] = Writer(
            "what Discord did",
            store.record_happenings,
            refused,
            owner=lambda row: row.bot_id,
            lesser=lambda row: replace(row, detail={}),
            gather_s=GATHER_S,
            timeout_s=STORE_TIMEOUT_S,
        )

    def take(self, member: Member, generation: int, message: Happened) -> None:
        """Take a batch; the same one again takes its own place."""
        if message.lost:
            log.error("occurrences.lost", bot=member.bot.name, rows=message.lost)
        now = datetime.now(UTC)
        found = [_happening(member, row, now) for row in message.rows]
        rows = [row for row in found if row is not None]
        self.writer.put(*rows, key=(member.bot.id, generation), then=lambda: self._answer(member, message, rows))

    def _answer(self, member: Member, message: Happened, rows: list[Happening]) -> None:
        self._tell(member.bot.id, HappenedStored(message.number))
        for row in rows:
            log.info("happening", bot=member.bot.name, code=row.code, title=KINDS[row.code].title, detail=row.detail)


def _happening(member: Member, row: Occurrence, now: datetime) -> Happening | None:
    """Return what a worker told; None if it is none of what workers may tell. Its time is not believed blindly."""
    if row.code not in DISCORD_CODES:
        return None
    row_id, at = not_ahead(row.id, row.at, now.timestamp())
    return Happening(row_id, member.bot.id, datetime.fromtimestamp(at, UTC), row.code, dict(row.detail))
