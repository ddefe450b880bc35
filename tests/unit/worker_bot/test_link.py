"""The worker's end of the control channel, on a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flotilla.protocol import FrameDecoder, Hello, IdentifiedAlone, from_worker
from tests.stack import until
from worker_bot.link import UNREAD_BYTES, Link


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[socket.socket]:
    """A supervisor that lets workers connect and does nothing else."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(tmp_path / "control"))
        made.listen()
        made.setblocking(False)
        yield made


@pytest.fixture
async def link(listener: socket.socket) -> AsyncIterator[Link]:
    made = Link(Path(listener.getsockname()), "1", 1, b"secret")
    keeping = asyncio.create_task(made.keep(lambda _: None))
    yield made
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


async def accepted(listener: socket.socket) -> socket.socket:
    return (await asyncio.get_running_loop().sock_accept(listener))[0]


async def test_heartbeats_do_not_pile_up_behind_what_a_stalled_supervisor_does_not_read(
    listener: socket.socket, link: Link
) -> None:
    with await accepted(listener) as peer:
        await until(lambda: link.send(IdentifiedAlone(0, 0.0)), "it is connected")
        while not (waiting := link.unread_bytes):
            link.report_beat(None, None)
        for _ in range(10_000):
            link.report_beat(None, None)
        assert link.unread_bytes == waiting
        assert peer.fileno() >= 0


async def test_what_is_kept_for_a_stalled_supervisor_is_bounded_and_the_next_connection_begins_anew(
    listener: socket.socket, link: Link
) -> None:
    with await accepted(listener):
        await until(lambda: link.send(IdentifiedAlone(0, 0.0)), "it is connected")
        sent = 0
        while link.send(IdentifiedAlone(0, 0.0)):
            sent += 1
            assert link.unread_bytes <= UNREAD_BYTES + 100
        assert sent
        link.ready = link.running = True
        with await accepted(listener) as again:
            received = await asyncio.get_running_loop().sock_recv(again, 65536)
            (body,) = FrameDecoder().feed(received)
            hello = from_worker.decode(body)
            assert isinstance(hello, Hello)
            assert hello.ready
