"""The job queue as both its ends know it: names, wire format, and the one way to enqueue.

The queue is a shortcut, not the truth: what is to be done is rows of the database, and the job program sweeps them.
So a job that cannot be enqueued costs seconds, never an operation.
"""

from typing import Any, Protocol

import msgspec
import structlog
from arq.connections import ArqRedis

from flotilla.valkey import AWAY, PROBE, PROBE_MS, connection_pool

QUEUE = "flotilla:jobs"
ADVANCE = "advance_operation"
log = structlog.get_logger()

# repr: arq stores the exception of a failed job, which JSON does not know.
_encoder = msgspec.json.Encoder(enc_hook=repr)


def serialize(value: dict[str, Any]) -> bytes:
    """Return a job as JSON: readable in the store, and harmless to load, which pickle is not."""
    return _encoder.encode(value)


def deserialize(raw: bytes) -> dict[str, Any]:
    """Return the job that `serialize` wrote."""
    return msgspec.json.decode(raw, type=dict[str, Any])


def open_arq(url: str) -> ArqRedis:
    """Return arq's client for `url`; nothing is connected yet. Raises SetupError like `connection_pool`."""
    return ArqRedis(
        connection_pool(url), job_serializer=serialize, job_deserializer=deserialize, default_queue_name=QUEUE
    )


async def enqueue_advance(arq: ArqRedis, operation_id: str) -> bool:
    """Enqueue the job that advances one operation; return False if it has one already.

    The job's id is the operation's, so an operation never has two jobs however often and by whomever it is enqueued.
    """
    return await arq.enqueue_job(ADVANCE, operation_id, _job_id=f"{ADVANCE}:{operation_id}") is not None


class JobQueue(Protocol):
    """The queue as the API uses it."""

    async def advance(self, operation_id: str) -> None:
        """Ask for the operation to be worked on now. Never raises: the sweep finds it anyway."""

    async def ping(self) -> None:
        """Return if the queue's store answers and takes writes. Raises what its client raises."""


class ArqQueue:
    """`JobQueue` on Valkey or Redis."""

    def __init__(self, url: str) -> None:
        self._arq = open_arq(url)

    async def advance(self, operation_id: str) -> None:
        try:
            await enqueue_advance(self._arq, operation_id)
        except AWAY as fault:
            log.warning("job.not_enqueued", operation_id=operation_id, error=str(fault))

    async def ping(self) -> None:
        await self._arq.set(PROBE, b"", px=PROBE_MS)

    async def close(self) -> None:
        """Close the connections."""
        await self._arq.aclose(close_connection_pool=True)
