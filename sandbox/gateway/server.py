"""The websocket shell of the gateway: sockets, compression and the clock around the connection state machine."""

import asyncio
import zlib
from contextlib import suppress

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from sandbox import limits
from sandbox.gateway.connection import Close, Connection, Drop, Effect, Send
from sandbox.local_discord import LocalDiscord

_CLOSE_TIMEOUT_S = 1.0
_ABORT_S = 2.0  # for a close that waits behind payloads the client does not read
_FRAME_MAX_BYTES = 1 << 20  # what we read before closing; Discord's own limit is the connection's to judge
_encode = msgspec.json.Encoder().encode


class _Client:
    """One websocket: writes the effects of its connection, in order."""

    def __init__(self, request: web.Request, websocket: web.WebSocketResponse, *, compressed: bool) -> None:
        self._request = request
        self._websocket = websocket
        self._compressor = zlib.compressobj() if compressed else None
        self._outbox: asyncio.Queue[Effect] = asyncio.Queue()
        self._abort_timer: asyncio.TimerHandle | None = None

    def emit(self, effect: Effect) -> None:
        """Queue an effect; cut off a client that has stopped reading."""
        if isinstance(effect, Drop) or self._outbox.qsize() >= limits.OUTBOX_MAX_EFFECTS:
            self._abort()
            return
        self._outbox.put_nowait(effect)
        if isinstance(effect, Close):
            self._abort_timer = asyncio.get_running_loop().call_later(_ABORT_S, self._abort)

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def settle(self, writer: asyncio.Task[None]) -> None:
        """Stop writing; a close that is under way finishes first, so that the client reads its code."""
        if self._abort_timer is None:
            writer.cancel()
        await asyncio.wait({writer}, timeout=_CLOSE_TIMEOUT_S)
        writer.cancel()
        if self._abort_timer is not None:
            self._abort_timer.cancel()

    async def write(self) -> None:
        """Write effects until a close or a broken socket."""
        with suppress(ConnectionError):
            while True:
                effect = await self._outbox.get()
                if isinstance(effect, Send):
                    await self._send(_encode(effect.payload))
                elif isinstance(effect, Close):
                    await self._websocket.close(code=effect.code, message=effect.reason.encode())
                    return

    async def _send(self, payload: bytes) -> None:
        if self._compressor is None:
            await self._websocket.send_str(payload.decode())
        else:
            packed = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
            await self._websocket.send_bytes(packed)


class Gateway:
    """Serves `/gateway` and sweeps for zombies."""

    def __init__(self, discord: LocalDiscord) -> None:
        self._discord = discord
        self._connections: dict[Connection, _Client] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from upgrade to close."""
        websocket = web.WebSocketResponse(timeout=_CLOSE_TIMEOUT_S, max_msg_size=_FRAME_MAX_BYTES, compress=False)
        if not websocket.can_prepare(request):
            return web.Response(status=426, text="Connect with a websocket.", headers={"Upgrade": "websocket"})
        await websocket.prepare(request)
        query = request.query
        compress = query.get("compress", "")
        client = _Client(request, websocket, compressed=compress == "zlib-stream")
        connection = Connection(self._discord, f"ws://{request.host}/gateway", client.emit)
        self._connections[connection] = client
        writer = asyncio.create_task(client.write())
        client_code = None
        try:
            version = query.get("v", str(limits.API_VERSION))
            connection.open(version, query.get("encoding", "json"), compress, self._discord.clock())
            client_code = await self._read(websocket, connection)
        finally:
            del self._connections[connection]
            connection.closed(client_code, self._discord.clock())
            await client.settle(writer)
        return websocket

    async def _read(self, websocket: web.WebSocketResponse, connection: Connection) -> int | None:
        while True:
            message = await websocket.receive()
            if message.type is WSMsgType.TEXT:
                connection.receive(message.data.encode(), self._discord.clock())
            elif message.type is WSMsgType.BINARY:
                connection.receive(message.data, self._discord.clock())
            elif message.type is WSMsgType.CLOSE:
                return int(message.data)
            else:
                return None

    async def sweep_forever(self) -> None:
        """Close zombies and forget what has expired, several times in a heartbeat interval."""
        interval_s = min(1.0, self._discord.rules.heartbeat_interval_ms / 4000)
        while True:
            await asyncio.sleep(interval_s)
            now = self._discord.clock()
            for connection in list(self._connections):
                connection.tick(now)
            self._discord.prune()

    async def close_all(self) -> None:
        """Send every client away with a code that keeps sessions resumable."""
        for connection in list(self._connections):
            connection.close(WSCloseCode.SERVICE_RESTART, "The sandbox is stopping.")
