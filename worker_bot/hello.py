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

_first: dict[int, Any] = {}
"""What came first, by the id of its transport, until hikari asks for it."""


async def _connect_and_hear(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as hikari has it
    transport = await connect_as_hikari(*arguments, **named)
    try:
        _first[id(transport)] = await asyncio.wait_for(receive_as_hikari(transport), HELLO_S)
    except BaseException as fault:
        await transport.send_close(code=hikari.ShardCloseCode.PROTOCOL_ERROR, message=b"Expected HELLO op")
        if isinstance(fault, TimeoutError):
            raise hikari.GatewayConnectionError(f"no HELLO within {HELLO_S:g} s") from None
        raise
    return transport


async def _receive_or_first(transport: Any) -> Any:  # noqa: ANN401
    if _first and id(transport) in _first:
        return _first.pop(id(transport))
    return await receive_as_hikari(transport)


connect_as_hikari, receive_as_hikari = _GatewayTransport.connect, _GatewayTransport.receive_json

_GatewayTransport.connect = _connect_and_hear  # type: ignore[method-assign]
_GatewayTransport.receive_json = _receive_or_first  # type: ignore[method-assign, assignment]
