"""Forgets what nobody needs any more, a little at a time.

Their age is judged by a clock that does not jump: a start with the system's forty days ahead forgets nothing.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from flotilla.db.clocks import SqlClocks
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.operations import SqlOperations
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.sessions import SqlSessions
from flotilla.db.uptime import FORGET_BATCH, SqlUptime
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.clock import confirmed
from flotilla.domain.uptime import KEPT
from flotilla.errors import FlotillaError

SWEEP_S = 3600.0
BATCHES = 200
"""At most in one sweep: a million rows an hour is more than any fleet records."""
PAUSE_S = 0.1
"""Between two batches, so that on SQLite others get their turn to write."""
TIMEOUT_S = 600.0
log = structlog.get_logger()


class RetentionClock:
    """Until when time has passed for certain. clock: the system's, for tests; elapsed: of a clock that nobody sets."""

    def __init__(
        self,
        clocks: SqlClocks,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._clocks, self._clock, self._elapsed = clocks, clock, elapsed
        self._at: datetime | None = None
        self._since = elapsed()

    async def confirm(self) -> datetime:
        """Note in the database how far time has got, and return that. Raises RetryError."""
        since, self._since = self._since, self._elapsed()
        try:
            self._at = await self._clocks.confirm(self._clock(), self._since - since)
        except BaseException:
            self._since = since
            raise
        return self._at

    def now(self) -> datetime | None:
        """Return the same without the database; None before anything was confirmed."""
        return None if self._at is None else confirmed(self._at, self._clock(), self._elapsed() - self._since)


async def forget_for_ever(
    clock: RetentionClock,
    history: SqlUptime,
    sessions: SqlSessions,
    command_logs: SqlCommandLogs,
    webhooks: SqlWebhooks,
    operations: SqlOperations,
    rollovers: SqlRollovers,
    *,
    command_logs_kept: timedelta,
    operations_kept: timedelta,
) -> None:
    """Forget at start and then about every SWEEP_S seconds until cancelled, whatever is away meanwhile."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                now = await clock.confirm()
                await forget(history, now)
                await forget_starts(sessions, now)
                await forget_command_logs(command_logs, now - command_logs_kept)
                await forget_deliveries(webhooks, now)
                await forget_operations(operations, rollovers, now - operations_kept)
                log.info("retention.swept", until=now.isoformat(timespec="seconds"))
        except FlotillaError as fault:
            log.warning("retention.failed", error=fault.message)
        except TimeoutError:
            log.warning("retention.failed", error=f"not done after {TIMEOUT_S:g} s; the next sweep goes on")
        await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter


async def forget(history: SqlUptime, now: datetime, *, batch: int = FORGET_BATCH) -> int:
    """Remove transitions older than KEPT in at most BATCHES transactions; return how many there were."""
    gone = await _in_batches(lambda: history.forget(now - KEPT, batch), batch)
    if gone:
        log.info("retention.forgot", transitions=gone)
    return gone


async def forget_starts(sessions: SqlSessions, now: datetime, *, batch: int = FORGET_BATCH) -> int:
    """Remove session starts that no longer count at `now`, as `forget` does."""
    gone = await _in_batches(lambda: sessions.forget(now, batch), batch)
    if gone:
        log.info("retention.forgot_starts", session_starts=gone)
    return gone


async def forget_command_logs(command_logs: SqlCommandLogs, before: datetime, *, batch: int = FORGET_BATCH) -> int:
    """Remove command logs from before `before`, as `forget` does."""
    gone = await _in_batches(lambda: command_logs.forget(before, batch), batch)
    if gone:
        log.info("retention.forgot_command_logs", command_logs=gone)
    return gone


async def forget_deliveries(webhooks: SqlWebhooks, now: datetime, *, batch: int = FORGET_BATCH) -> int:
    """Remove deliveries of webhooks that have long ended, as `forget` does."""
    gone = await _in_batches(lambda: webhooks.forget(now, batch), batch)
    if gone:
        log.info("retention.forgot_deliveries", webhook_deliveries=gone)
    return gone


async def forget_operations(
    operations: SqlOperations, rollovers: SqlRollovers, before: datetime, *, batch: int = FORGET_BATCH
) -> int:
    """Remove operations and roll-overs that had ended before `before`, items included, as `forget` does."""
    gone = await _in_batches(lambda: operations.forget(before, batch), batch)
    gone += await _in_batches(lambda: rollovers.forget(before, batch), batch)
    if gone:
        log.info("retention.forgot_operations", rows=gone)
    return gone


async def _in_batches(remove: Callable[[], Awaitable[int]], batch: int) -> int:
    gone = 0
    for _ in range(BATCHES):
        removed = await remove()
        gone += removed
        if removed < batch:
            break
        await asyncio.sleep(PAUSE_S)
    return gone
