"""The websocket shell of the gateway: sockets and the clock around the connection state machine."""

import asyncio
from collections.abc import Iterator

from aiohttp import WSCloseCode, WSMsgType, web

from sandbox import limits
from sandbox.gateway import codes
from sandbox.gateway.connection import Connection, GuildCount, nobody_counts
from sandbox.gateway.hooks import Hooks, NoHooks
from sandbox.gateway.transport import packing_of
from sandbox.gateway.wire import Wire, reset_or_abort
from sandbox.local_discord import LocalDiscord

_FRAME_MAX_BYTES = 1 << 20  # what we read before closing; Discord's own limit is the connection's to judge
_CLOSE_ALL_S = 0.5
_STATUS_MISSING = 1005  # RFC 6455: a close frame without a code


class Gateway:
    """Serves `/gateway` and sweeps for zombies."""

    def __init__(
        self, discord: LocalDiscord, hooks: Hooks | None = None, guild_count: GuildCount = nobody_counts
    ) -> None:
        self._discord = discord
        self.hooks = hooks or NoHooks()
        self._guild_count = guild_count
        self._connections: dict[Connection, Wire] = {}
        self._all_gone = asyncio.Event()

    def identified(self) -> Iterator[Connection]:
        """Yield the connections that have identified or resumed, oldest first."""
        return (connection for connection in list(self._connections) if connection.session is not None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from upgrade to close."""
        # The socket is written by the wire alone: nothing here may send a frame by itself.
        websocket = web.WebSocketResponse(
            autoclose=False, autoping=False, max_msg_size=_FRAME_MAX_BYTES, compress=False, decode_text=False
        )
        if not websocket.can_prepare(request):
            return web.Response(status=426, text="Connect with a websocket.", headers={"Upgrade": "websocket"})
        transport = request.transport
        if transport is None or self.hooks.refuses_connection(None):
            if transport is not None:
                reset_or_abort(transport, reset=True)
            return websocket
        await websocket.prepare(request)
        query = request.query
        compress = query.get("compress", "")
        wire = Wire(transport, packing_of(compress))
        connection = Connection(self._discord, f"ws://{request.host}/gateway", wire.emit, self.hooks, self._guild_count)
        self._connections[connection] = wire
        client_code = None
        try:
            version = query.get("v", str(limits.API_VERSION))
            connection.open(version, query.get("encoding", "json"), compress, self._discord.clock())
            client_code = await self._read(websocket, connection, wire)
        finally:
            del self._connections[connection]
            connection.closed(client_code, self._discord.clock())
            wire.end()
            if not self._connections:
                self._all_gone.set()
        return websocket

    async def _read(self, websocket: web.WebSocketResponse, connection: Connection, wire: Wire) -> int | None:
        while True:
            message = await websocket.receive()
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                self._receive(connection, message.data)
            elif message.type is WSMsgType.PING:
                wire.pong(message.data)
            elif message.type is WSMsgType.CLOSE:
                if wire.silent:
                    await asyncio.sleep(limits.HALF_OPEN_LINGER_S)
                    return None
                code = int(message.data or _STATUS_MISSING)
                wire.close(WSCloseCode.OK if code == _STATUS_MISSING else code)
                return code
            elif message.type is not WSMsgType.PONG:
                return None

    def _receive(self, connection: Connection, frame: bytes) -> None:
        try:
            connection.receive(frame, self._discord.clock())
        except Exception as error:  # noqa: BLE001 - Discord closes with 4000 whatever it was; failures keeps and logs it
            self._discord.failures.record(f"gateway frame {frame[:100]!r}", error, self._discord.clock())
            connection.close(codes.UNKNOWN_ERROR)

    async def sweep_forever(self) -> None:
        """Close zombies and forget what has expired, several times in a heartbeat interval."""
        interval_s = min(1.0, self._discord.rules.heartbeat_interval_ms / 4000)
        while True:
            await asyncio.sleep(interval_s)
            now = self._discord.clock()
            for connection in [zombie for zombie in self._connections if now >= zombie.deadline]:
                connection.tick(now)
            self._discord.prune()

    async def close_all(self) -> None:
        """Send every client away with a code that keeps sessions resumable, and cut off those that do not answer."""
        for connection in list(self._connections):
            connection.close(WSCloseCode.SERVICE_RESTART, "The sandbox is stopping.")
        if not await self._are_gone():
            for wire in list(self._connections.values()):
                wire.abort()
            await self._are_gone()

    async def _are_gone(self) -> bool:
        self._all_gone.clear()
        try:
            async with asyncio.timeout(_CLOSE_ALL_S if self._connections else 0):
                await self._all_gone.wait()
        except TimeoutError:
            return not self._connections
        return True
