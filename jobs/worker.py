"""The arq worker, kept running through every absence of Valkey."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from arq import Worker, func
from arq.typing import WorkerCoroutine

from flotilla.queue import ADVANCE, QUEUE, deserialize, open_arq, serialize
from flotilla.valkey import AWAY

POLL_S = 0.2
JOB_TIMEOUT_S = 20
CLAIM_S = 5.0
"""Seconds for which a worker claims a job it has begun. After a `kill -9` the job is invisible for that long; arq's own
value is the job's timeout and 10 s. A claim that ends too early lets two workers advance one operation, which is
harmless: the operation's row is locked for each step."""
RETRY_CAP_S = 5.0
CLOSE_TIMEOUT_S = 3.0
UNLIMITED = 2**31
Job = Callable[[dict[Any, Any], str], Awaitable[None]]
log = structlog.get_logger()


async def work(url: str, advance: Job) -> None:
    """Run jobs until cancelled. While Valkey is away, wait for it: log each attempt, with a capped, jittered pause."""
    # One line per job is one per operation and step; our own actions say what matters.
    logging.getLogger("arq.worker").setLevel(logging.WARNING)
    failures = 0
    while True:
        worker = _worker(url, advance)
        try:
            await worker.pool.ping()
            if failures:
                log.info("valkey.back")
            failures = 0
            log.info("jobs.ready", queue=QUEUE)
            await worker.async_run()
        except AWAY as fault:
            failures += 1
            delay_s = random.uniform(0.5, 1.0) * min(RETRY_CAP_S, 0.5 * 2.0 ** min(failures - 1, 10))  # noqa: S311
            log.warning("valkey.away", error=str(fault), attempt=failures, retry_s=round(delay_s, 2))
        finally:
            await _close(worker)
        await asyncio.sleep(delay_s)


def _worker(url: str, advance: Job) -> Worker:
    worker = Worker(
        [func(cast(WorkerCoroutine, advance), name=ADVANCE, max_tries=UNLIMITED)],
        queue_name=QUEUE,
        redis_pool=open_arq(url),
        handle_signals=False,
        job_timeout=JOB_TIMEOUT_S,
        keep_result=0,  # a kept result would block the operation's job id
        poll_delay=POLL_S,
        log_results=False,
        job_serializer=serialize,  # the worker reads jobs with its own, not with the pool's
        job_deserializer=deserialize,
    )
    worker.in_progress_timeout_s = CLAIM_S
    return worker


async def _close(worker: Worker) -> None:
    tasks: list[asyncio.Task[Any]] = [*worker.tasks.values(), *([worker.main_task] if worker.main_task else [])]
    for task in tasks:
        task.cancel()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.gather(*tasks, return_exceptions=True)
            await worker.pool.aclose(close_connection_pool=True)
    except AWAY as fault:
        log.info("jobs.close_failed", error=str(fault))
