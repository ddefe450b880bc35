"""Bounds the wait for a gateway's first word.

hikari waits for ever on a connection that was taken and then forgotten. Like `worker_bot.seam` it touches
hikari's private names; a contract test pins them.
"""

import asyncio
from typing import Any, Final

import hikari
from hikari.impl.shard import _GatewayTransport

HELLO_S: Final = 20.0
"""How long Discord may take for HELLO, which it sends at once; then hikari connects anew, and waits before it."""

_new: set[int] = set()
"""The transports, by their ids, on which nothing was waited for yet."""


async def _connect_as_new(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as hikari has it
    transport = await connect_as_hikari(*arguments, **named)
    _new.add(id(transport))
    return transport


async def _receive_soon(transport: Any) -> Any:  # noqa: ANN401
    if not _new or id(transport) not in _new:
        return await receive_as_hikari(transport)
    _new.discard(id(transport))
    try:
        return await asyncio.wait_for(receive_as_hikari(transport), HELLO_S)
    except TimeoutError:
        raise hikari.GatewayConnectionError(f"no HELLO within {HELLO_S:g} s") from None


connect_as_hikari, receive_as_hikari = _GatewayTransport.connect, _GatewayTransport.receive_json

_GatewayTransport.connect = _connect_as_new  # type: ignore[method-assign]
_GatewayTransport.receive_json = _receive_soon  # type: ignore[method-assign, assignment]
