"""Connections as uvicorn runs them for us, where a test must look inside: hand-over, stalls, the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from quart import Quart, websocket
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

import api.connections
from api.connections import Connections, Limits, peer_of
from api.front import install_front
from api.serving import Server
from api.sparingly import Sparingly
from flotilla.address import listen
from tests.stack import until

BIG = 16 * 1024 * 1024
MIDDLING = 60_000
"""More than the kernel takes from a socket made small, less than asyncio holds back for."""

GET = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Served:
    port: int
    server: Server
    connections: Connections


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[Served]:
    app = Quart("test")

    async def small() -> str:
        return "small"

    async def big() -> bytes:
        return bytes(BIG)

    async def middling() -> bytes:
        return bytes(MIDDLING)

    async def stream() -> None:
        await websocket.send("here")

    app.add_url_rule("/small", "small", small)
    app.add_url_rule("/big", "big", big)
    app.add_url_rule("/middling", "middling", middling)
    app.add_websocket("/stream", "stream", stream)
    sparingly = Sparingly()
    connections = Connections(limits, install_front(app, (), sparingly).takes_websocket, sparingly)
    config = uvicorn.Config(
        app,
        http=connections.protocol,  # type: ignore[arg-type] # as in `api.serving`
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=30,
    )
    server = Server(config, connections)
    with listen("127.0.0.1", 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started, "it serves")
            yield Served(port, server, connections)
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 60)


async def test_a_websocket_that_is_a_route_is_handed_over_and_counted_until_its_end() -> None:
    async with serving(Limits()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        client = WSConnection(ConnectionType.CLIENT)
        writer.write(client.send(Request("localhost", "/stream")))
        events: list[object] = []
        while not any(isinstance(event, TextMessage) for event in events):
            client.receive_data(await asyncio.wait_for(reader.read(65536), 30))
            events += client.events()
        assert isinstance(events[0], AcceptConnection)
        writer.close()
        await writer.wait_closed()
        await until(lambda: not served.connections._open, "it is counted out")
        assert not served.connections._by_peer


async def test_one_address_gets_so_many_connections_and_others_get_theirs() -> None:
    async def ask(source: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=(source, 0))
        writers.append(writer)
        writer.write(GET)
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)

    writers: list[asyncio.StreamWriter] = []
    async with serving(Limits(connections=4)) as served:
        for _ in range(4):
            assert (await ask("127.0.0.1")).startswith(b"HTTP/1.1 200 ")
        refused = await ask("127.0.0.1")
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"x-content-type-options: nosniff" in refused
        assert (await ask("127.0.0.2")).startswith(b"HTTP/1.1 200 ")
        for writer in writers:
            writer.close()
        await until(lambda: not served.connections._open, "all are counted out")
        assert (await ask("127.0.0.1")).startswith(b"HTTP/1.1 200 ")
        writers[-1].close()


async def test_who_reads_nothing_of_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.connections, "STALL_S", 0.2)
    async with serving(Limits()) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        writer.write(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: served.connections._open, "it has come")
        await until(lambda: not served.connections._open, "it was cut off")
        await until(lambda: not served.server.server_state.tasks, "nothing is left of its request")
        writer.close()


async def test_who_reads_slowly_gets_all_of_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.connections, "LINGER_S", 0.05)
    async with serving(Limits()) as served:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", served.port))
            reader, writer = await asyncio.open_connection(sock=client, limit=1024)
            writer.write(b"GET /middling HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await until(lambda: any(one.transport.is_closing() for one in served.connections._open), "all is written")
            await asyncio.sleep(0.5)  # many times LINGER_S
            assert len(await asyncio.wait_for(reader.read(), 60)) > MIDDLING
            writer.close()


async def test_who_has_just_connected_is_answered_though_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.connections, "FRESH_S", 30)
    async with serving(Limits()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        await until(lambda: served.connections._open, "it has come")
        served.server.should_exit = True
        await until(lambda: all(connection._stopping for connection in served.connections._open), "it ends")
        writer.write(GET)
        assert (await asyncio.wait_for(reader.read(), 30)).endswith(b"\r\n\r\nsmall")
        writer.close()


async def test_who_is_idle_is_closed_when_the_server_ends() -> None:
    async with serving(Limits()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET)
        assert (await asyncio.wait_for(reader.readuntil(b"small"), 30)).startswith(b"HTTP/1.1 200 ")
        served.server.should_exit = True
        assert await asyncio.wait_for(reader.read(), 30) == b""
        assert await asyncio.wait_for(silent.read(), 30) == b""
        writer.close()
        silent_writer.close()


async def test_requests_in_a_row_on_one_connection_are_all_answered() -> None:
    async with serving(Limits()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET * 20)
        for _ in range(20):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nsmall"), 30)
        writer.close()


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (None, "local"),
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("nonsense", 5), "nonsense"),
    ],
)
def test_one_peer_is_an_address_or_a_network(client: tuple[str, int] | None, peer: str) -> None:
    assert peer_of(client) == peer
