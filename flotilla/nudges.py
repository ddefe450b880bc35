"""Taps on the supervisor's shoulder over Valkey's publish/subscribe."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import redis.asyncio as redis
import structlog

from flotilla.valkey import AWAY, connection_pool

CHANNEL = "flotilla:nudge"
RETRY_S = 5.0
log = structlog.get_logger()


class ValkeyNudges:
    """`Nudges` on Valkey or Redis. While it is away, listeners simply hear nothing."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis(connection_pool=connection_pool(url))

    async def send(self) -> None:
        try:
            await self._client.publish(CHANNEL, b"")
        except AWAY as fault:
            log.warning("nudge.lost", error=str(fault))

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        yield self._taps()

    async def _taps(self) -> AsyncIterator[None]:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=30.0)
                        if message is not None:
                            yield None
            except AWAY as fault:
                log.info("nudge.listen_failed", error=str(fault), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose(close_connection_pool=True)


class MemoryNudges:
    """`Nudges` within one process, for tests and for a supervisor alone."""

    def __init__(self) -> None:
        self._tapped = asyncio.Event()

    async def send(self) -> None:
        self._tapped.set()

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        yield self._taps()

    async def _taps(self) -> AsyncIterator[None]:
        while True:
            await self._tapped.wait()
            self._tapped.clear()
            yield None
