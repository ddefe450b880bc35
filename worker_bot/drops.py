"""Tells how each gateway connection ended that was up.

Like `worker_bot.seam` it touches hikari's private names, for its event of a lost connection does not say the close
code; a contract test pins them.
"""

from collections.abc import Callable
from typing import Any

import hikari
from hikari.impl.shard import GatewayShardImpl

Told = Callable[[int, int | None, str], None]
"""Given the shard's id, the close code (None: there was none), and why, in a few words."""

_current: list[Told] = []


def install(tell: Told | None) -> None:
    """Let `tell` be told by all shards of this process; None: nobody."""
    _current[:] = [] if tell is None else [tell]


def _tell(shard: GatewayShardImpl, code: int | None, why: str) -> None:
    event = shard._handshake_event
    if event is not None and event.is_set():
        for tell in _current:
            tell(shard.id, code, why)


async def _poll_until_the_end(shard: GatewayShardImpl) -> None:
    try:
        await _poll(shard)
    except hikari.GatewayServerClosedConnectionError as error:
        _tell(shard, None if error.code is None else int(error.code), "closed by Discord")
        raise
    except (hikari.GatewayConnectionError, hikari.GatewayTransportError, ConnectionResetError):
        _tell(shard, None, "connection lost")
        raise
    _tell(shard, None, "asked to reconnect")


async def _beat_until_the_end(shard: GatewayShardImpl, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    await _beat(shard, *arguments, **named)
    _tell(shard, None, "heartbeat not acknowledged")


_poll, _beat = GatewayShardImpl._poll_events, GatewayShardImpl._heartbeat
GatewayShardImpl._poll_events = _poll_until_the_end  # type: ignore[method-assign, assignment]
GatewayShardImpl._heartbeat = _beat_until_the_end  # type: ignore[method-assign, assignment]
