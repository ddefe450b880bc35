"""The job that moves one operation forward, step by step, until it is finished."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from arq import Retry

from flotilla.db.operations import SqlOperations
from flotilla.domain.operations import FINISHED, ItemState
from flotilla.errors import NotFoundError, RetryError
from flotilla.ports import Nudges

STEP_S = 0.3
"""Seconds between two looks at an operation that is under way."""
DATABASE_RETRY_S = 2.0
BROKEN_RETRY_S = 30.0
"""A broken operation may be mended by the next release, so it is tried again, but seldom."""
ADVANCE_TIMEOUT_S = 15.0
log = structlog.get_logger()


class AdvanceOperation:
    """The job's body. What is done to which bot is decided by `SqlOperations.advance`, in one transaction."""

    def __init__(self, operations: SqlOperations, nudges: Nudges) -> None:
        self._operations = operations
        self._nudges = nudges

    async def run(self, _ctx: dict[Any, Any], operation_id: str) -> None:
        """Advance once. While there is more to do, raise arq's Retry.

        Why Retry: an operation's job has the operation's id, so that there is never more than one. A job cannot
        enqueue its own id again while it runs, as arq still holds it; Retry puts the same job back with a delay, in
        one transaction with its end. `max_tries` is without limit for that reason.
        """
        try:
            async with asyncio.timeout(ADVANCE_TIMEOUT_S):
                operation = await self._operations.advance(operation_id, datetime.now(UTC))
        except NotFoundError:
            log.warning("operation.gone", operation_id=operation_id)
            return
        except (RetryError, TimeoutError) as fault:
            log.warning("operation.delayed", operation_id=operation_id, error=str(fault), retry_s=DATABASE_RETRY_S)
            raise Retry(defer=DATABASE_RETRY_S) from fault
        except Exception as fault:
            log.exception("operation.broken", operation_id=operation_id, retry_s=BROKEN_RETRY_S)
            raise Retry(defer=BROKEN_RETRY_S) from fault
        if operation.state in FINISHED:
            log.info("operation.finished", operation_id=operation_id, state=operation.state)
            return
        if operation.counts.get(ItemState.RUNNING, 0):
            await self._nudges.send()
        raise Retry(defer=STEP_S)
