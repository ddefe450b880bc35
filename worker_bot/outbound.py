"""What a bot sends on its gateway connection, besides heartbeats and greetings, under Discord's limit of 120 a minute.

hikari keeps that limit by the shard and not by the connection, cancels whoever waits for it at a reconnect, and
lets its queue break when a waiter is cancelled. Here each connection has a limit of its own, what waited is sent on
the next connection, and nobody waits for ever. Like `worker_bot.seam` it touches hikari's private names; a contract
test pins them.
"""

import asyncio
import logging
import time
from typing import Any, Final

import hikari
from hikari.impl.shard import GatewayShardImpl

from flotilla.tasks import awaited

SEND_S: Final = 120.0
"""How long one payload may wait at most: for two minutes' worth of others, or for a connection."""

AGAIN_S: Final = 0.5
"""How often a payload is tried anew whose connection ended."""

GREETINGS: Final = frozenset({2, 6})
"""IDENTIFY and RESUME (Discord, Opcodes and Status Codes): they are part of connecting, and end with it."""

log = logging.getLogger("flotilla.session")


def renew_limits(shard: Any) -> None:  # noqa: ANN401 - hikari's shard
    """Let a new connection have its own limit. Those that wait for the old one's are told, and wait for the new."""
    for limiter in (shard._non_priority_rate_limit, shard._total_rate_limit):
        limiter.close()
        limiter.move_at, limiter.remaining = 0.0, 0


async def send(shard: GatewayShardImpl, data: Any, *, priority: bool = False) -> None:  # noqa: ANN401 - hikari's payload
    """Send a payload, on the next connection if this one ends before.

    Raises TimeoutError after `SEND_S`, and ComponentStateConflictError as hikari does if the shard is closed for good.
    """
    if priority or data["op"] in GREETINGS:
        await send_as_hikari(shard, data, priority=priority)
        return
    try:
        async with asyncio.timeout(SEND_S):
            if not await _try(shard, data):
                log.info("shard %s sends opcode %s on its next connection", shard.id, data["op"])
                await _try_until_sent(shard, data)
    except TimeoutError:
        raise TimeoutError(f"shard {shard.id} could not send opcode {data['op']} within {SEND_S:g} s") from None


async def _try_until_sent(shard: Any, data: Any) -> None:  # noqa: ANN401
    while not await _try(shard, data):
        if shard._keep_alive_task is None or shard._keep_alive_task.done():
            raise hikari.ComponentStateConflictError(f"shard {shard.id} was closed before opcode {data['op']} was sent")
        await asyncio.sleep(AGAIN_S)


async def _try(shard: Any, data: Any) -> bool:  # noqa: ANN401
    """Send a payload when it is its turn; return False if there is no connection, or it ended before."""
    for limiter in (shard._non_priority_rate_limit, shard._total_rate_limit):
        if not shard.is_connected or not await _turn(limiter):
            return False
    if not shard.is_connected:
        return False
    try:
        await shard._ws.send_json(data)
    except ConnectionResetError:
        return False
    return True


async def _turn(limiter: Any) -> bool:  # noqa: ANN401 - hikari's
    """Return when a limiter lets one through; False if it was closed before."""
    if limiter.throttle_task is None and not limiter.is_rate_limited(time.time()):
        await limiter.acquire()  # at once
        return True
    # By itself: a waiter that is cancelled stays in hikari's queue, and ends the task that works it off.
    waiting = awaited(limiter.acquire())
    await asyncio.wait({waiting})
    return not waiting.cancelled()


send_as_hikari = GatewayShardImpl._send_json
GatewayShardImpl._send_json = send  # type: ignore[method-assign, assignment]
