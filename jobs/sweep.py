"""The net under the queue: operations that have no job, because it was lost or never enqueued, get one."""

import asyncio
import random

import structlog
from arq.connections import ArqRedis

from flotilla.db.operations import SqlOperations
from flotilla.errors import FlotillaError
from flotilla.queue import enqueue_advance
from flotilla.valkey import AWAY

SWEEP_S = 2.0
TIMEOUT_S = 20.0
log = structlog.get_logger()


async def sweep_for_ever(operations: SqlOperations, arq: ArqRedis) -> None:
    """Sweep about every SWEEP_S seconds until cancelled, whatever is away meanwhile."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await sweep(operations, arq)
        except FlotillaError as fault:
            log.warning("sweep.failed", error=fault.message)
        except AWAY as fault:  # the worker's loop tells the operator
            log.debug("sweep.failed", error=str(fault))
        # Jitter keeps several job programs from sweeping in step.
        await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret


async def sweep(operations: SqlOperations, arq: ArqRedis) -> int:
    """Give a job to every unfinished operation without one; return how many there were."""
    rescued = 0
    for operation_id in await operations.unfinished():
        if await enqueue_advance(arq, operation_id):
            rescued += 1
            log.info("operation.enqueued_by_sweep", operation_id=operation_id)
    return rescued
