"""`SessionStore` in memory. It passes the contract suite of the real one (tests/contract/test_session_store.py)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from flotilla.domain.sessions import WINDOW, Ledger, Limit, Start, limit_moved, merged, moved
from flotilla.errors import RetryError


class MemorySessionStore:
    """What the ledger needs of a database. away: answer nothing; slow: `record` waits until it is set."""

    def __init__(self) -> None:
        self.away = False
        self.slow: asyncio.Event | None = None
        self.starts: list[tuple[str, Start]] = []
        self.limits: dict[str, Limit] = {}
        self.transactions = 0

    async def ledgers(self, now: datetime) -> dict[str, Ledger]:
        self._require_there()
        # As in the database: which shard it was is not kept.
        counting = [(key, Start(start.at, start.cause)) for key, start in self.starts if start.at > now - WINDOW]
        return merged(counting, self.limits.items())

    async def redate(self, seen_at: datetime, now: datetime) -> int:
        self._require_there()
        before = self.starts
        self.starts = [(key, replace(start, at=moved(start.at, seen_at, now))) for key, start in before]
        self.limits = {key: limit_moved(limit, seen_at, now) for key, limit in self.limits.items()}
        return sum(old != new for old, new in zip(before, self.starts, strict=True))

    async def record(self, starts: Sequence[tuple[str, Start]], limits: Sequence[tuple[str, Limit]]) -> None:
        if self.slow is not None:
            await self.slow.wait()
        self._require_there()
        self.transactions += 1
        there = {(key, start.at) for key, start in self.starts}
        self.starts += [(key, start) for key, start in starts if (key, start.at) not in there]
        self.limits.update(limits)

    async def forget(self, now: datetime, batch: int = 5000) -> int:
        self._require_there()
        old = [row for row in self.starts if row[1].at <= now - WINDOW][:batch]
        self.starts = [row for row in self.starts if row not in old]
        self.limits = {
            key: limit for key, limit in self.limits.items() if limit.seen_at > now - WINDOW or limit.resets_at > now
        }
        return len(old)

    def _require_there(self) -> None:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
