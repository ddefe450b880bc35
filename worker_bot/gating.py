"""Puts the gate before what hikari does by itself: every IDENTIFY, and `GET /gateway/bot`.

It touches hikari's private names, as `session` does, which imports this module before it does so itself: whether a
session is resumed must be settled before anything here is asked.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import hikari
from hikari.impl.rest import RESTClientImpl
from hikari.impl.shard import GatewayShardImpl

from flotilla.protocol import GatewayAnswer
from worker_bot import outbound
from worker_bot.identify import IdentifyGate, SessionBudgetError

IDENTIFY = 2
"""Opcode (Discord, Opcodes and Status Codes)."""

_gates: list[IdentifyGate] = []
_told: list[Callable[[Any], None]] = []


def install(gate: IdentifyGate | None, tell: Callable[[Any], None] | None = None) -> None:
    """Let hikari's next bot of this process ask `gate`, and tell which shard is about to identify.

    None: as hikari does by itself; nobody.
    """
    _gates[:] = [] if gate is None else [gate]
    _told[:] = [] if tell is None else [tell]


class SessionRefusedError(hikari.GatewayServerClosedConnectionError):
    """The supervisor grants no session; it ends the run as a close code does that no reconnect cures."""

    def __init__(self, refusal: SessionBudgetError) -> None:
        super().__init__(reason=str(refusal), code=None, can_reconnect=False)
        self.reason_code = refusal.code or "session_budget"


async def _fetch_gateway_bot_info(rest: RESTClientImpl) -> hikari.GatewayBotInfo:
    """Return what Discord said lately to another worker of the application, or ask it.

    What remains is always enough for hikari: whether a session may begin is the gate's to say.
    """
    if not _gates:
        return await _fetch(rest)
    shared = _gates[0].take_gateway()
    if shared is None:
        info = await _fetch(rest)
        limit = info.session_start_limit
        told = (limit.total, limit.remaining, limit.max_concurrency, limit.reset_after.total_seconds())
        shared = GatewayAnswer(info.url, info.shard_count, *told)
        _gates[0].learned(shared)
    limit = hikari.SessionStartLimit(
        total=shared.total,
        remaining=max(shared.remaining, shared.shards),
        reset_after=timedelta(seconds=shared.reset_after_s),
        max_concurrency=shared.max_concurrency,
    )
    return hikari.GatewayBotInfo(url=shared.url, shard_count=shared.shards, session_start_limit=limit)


async def _may_identify(shard: GatewayShardImpl) -> None:
    """Return when the shard may identify. What is refused for long ends the bot, unless other shards are up."""
    try:
        await _gates[0].granted(shard.id)
    except SessionBudgetError as refusal:
        if refusal.code is None or (shard.shard_count > 1 and _gates[0].was_ready):
            raise ConnectionResetError(str(refusal)) from refusal  # hikari connects anew, and waits before it
        raise SessionRefusedError(refusal) from refusal


async def _connect_after_pause(shard: GatewayShardImpl) -> tuple[asyncio.Task[None], ...]:
    if _gates:
        await _gates[0].pause(shard.id)
        if shard._seq is None:
            _gates[0].ask(shard.id)
    return await _connect(shard)


async def _send_when_granted(shard: GatewayShardImpl, data: Any, *, priority: bool = False) -> None:  # noqa: ANN401
    if data["op"] == IDENTIFY:
        if _gates:
            await _may_identify(shard)
        for tell in _told:
            tell(shard)
    await _send(shard, data, priority=priority)


_fetch = RESTClientImpl.fetch_gateway_bot_info
_connect, _send = GatewayShardImpl._connect, outbound.send

RESTClientImpl.fetch_gateway_bot_info = _fetch_gateway_bot_info  # type: ignore[assignment, method-assign]
GatewayShardImpl._connect = _connect_after_pause  # type: ignore[assignment, method-assign]
GatewayShardImpl._send_json = _send_when_granted  # type: ignore[assignment, method-assign]
