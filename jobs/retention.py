"""Forgets transitions, session starts, command logs and deliveries that nobody needs any more, a little at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.sessions import SqlSessions
from flotilla.db.uptime import FORGET_BATCH, SqlUptime
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.uptime import KEPT
from flotilla.errors import FlotillaError

SWEEP_S = 3600.0
BATCHES = 200
"""At most in one sweep: a million rows an hour is more than any fleet records."""
PAUSE_S = 0.1
"""Between two batches, so that on SQLite others get their turn to write."""
TIMEOUT_S = 600.0
log = structlog.get_logger()


async def forget_for_ever(
    history: SqlUptime,
    sessions: SqlSessions,
    command_logs: SqlCommandLogs,
    webhooks: SqlWebhooks,
    command_logs_kept: timedelta,
) -> None:
    """Forget at start and then about every SWEEP_S seconds until cancelled, whatever is away meanwhile."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await forget(history, datetime.now(UTC))
                await forget_starts(sessions, datetime.now(UTC))
                await forget_command_logs(command_logs, datetime.now(UTC) - command_logs_kept)
                await forget_deliveries(webhooks, datetime.now(UTC))
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


async def _in_batches(remove: Callable[[], Awaitable[int]], batch: int) -> int:
    gone = 0
    for _ in range(BATCHES):
        removed = await remove()
        gone += removed
        if removed < batch:
            break
        await asyncio.sleep(PAUSE_S)
    return gone
