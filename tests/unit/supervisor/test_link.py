import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest

from flotilla.domain.bots import Bot, Desired
from flotilla.protocol import (
    Beat,
    Failing,
    Fetch,
    FrameDecoder,
    FromWorker,
    Hello,
    ProtocolError,
    Refused,
    encode,
    frame,
    to_worker,
)
from supervisor import link as module
from supervisor.link import Link
from supervisor.member import Member
from supervisor.pace import BURST, HELLO_COSTS, Pace
from tests.stack import until

MEMBER = Member(Bot("1", "bot", "1", (), Desired.RUNNING, 0, datetime.now(UTC)))
HELLO = Hello(1, "1", 7, b"secret", running=True, ready=True)


@dataclass
class Keeper:
    """Lets everybody in that it is told to, and writes down what happens."""

    admitted: bool = True
    wait: bool = False
    links: list[Link] = field(default_factory=list)
    taken: list[FromWorker] = field(default_factory=list)
    gone: list[Link] = field(default_factory=list)
    told_on: list[str] = field(default_factory=list)
    wanted: list[Fetch] = field(default_factory=list)
    given: int = -1

    def admits(self, link: Link) -> bool:
        self.links.append(link)
        return self.admitted

    def meet(self, link: Link, hello: Hello) -> None:
        if self.wait:
            link.hold()
        link.belongs_to(MEMBER, hello.generation)

    def fetch(self, link: Link, wanted: Fetch) -> None:
        self.wanted.append(wanted)
        link.give(self.given)
        link.close()

    def take(self, member: Member, generation: int, message: FromWorker) -> None:
        assert (member, generation) == (MEMBER, 7)
        if isinstance(message, Hello):
            raise ProtocolError("Hello comes once")
        self.taken.append(message)

    def lost(self, link: Link) -> None:
        self.gone.append(link)

    def offended(self, member: Member, why: str) -> None:
        assert member is MEMBER
        self.told_on.append(why)


@pytest.fixture
async def keeper() -> Keeper:
    MEMBER.pace, MEMBER.flood_told_at = Pace(), float("-inf")
    return Keeper()


async def connected(keeper: Keeper) -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: Link(keeper), ours)
    return theirs


@pytest.fixture
async def peer(keeper: Keeper) -> AsyncIterator[socket.socket]:
    theirs = await connected(keeper)
    yield theirs
    theirs.close()
    for link in keeper.links:
        link.close()  # one that is too fast is not read, and so does not see the end at once
    await until(lambda: len(keeper.gone) == len(keeper.links), "the links are told of the end")


async def test_peer_is_who_the_kernel_says(keeper: Keeper, peer: socket.socket) -> None:
    (link,) = keeper.links
    assert (link.pid, link.uid, link.peer) == (os.getpid(), os.getuid(), f"process {os.getpid()}")
    link.uid += 1
    assert link.peer == f"user {link.uid}"
    link.uid -= 1
    peer.send(b"")


async def test_frames_in_pieces_and_at_once_come_in_order(keeper: Keeper, peer: socket.socket) -> None:
    data = encode(HELLO) + b"".join(encode(Beat(float(number))) for number in range(100))
    for start in range(50):
        peer.send(data[start : start + 1])
        await asyncio.sleep(0)
    peer.send(data[50:])
    await until(lambda: len(keeper.taken) == 100, "all beats")
    assert keeper.taken == [Beat(float(number)) for number in range(100)]


async def test_what_a_worker_said_before_it_ended_is_heard_also_when_it_cannot_be_answered(
    keeper: Keeper, peer: socket.socket
) -> None:
    peer.send(encode(HELLO))
    await until(lambda: keeper.links[0].member, "the worker is known")
    last = Failing("token_refused", "401")
    peer.send(encode(Beat(1.0)) + encode(last))
    peer.close()
    keeper.links[0].send(Refused("an answer"))
    await until(lambda: keeper.gone, "the link is told of the end")
    assert keeper.taken == [Beat(1.0), last]


async def test_nothing_is_taken_while_it_is_held(keeper: Keeper, peer: socket.socket) -> None:
    keeper.wait = True
    peer.send(encode(HELLO) + encode(Beat(1.0)))
    await until(lambda: keeper.links[0].member, "Hello")
    peer.send(encode(Beat(2.0)))
    await asyncio.sleep(0.05)
    assert keeper.taken == []
    keeper.links[0].go_on()
    await until(lambda: len(keeper.taken) == 2, "both beats")


async def test_flood_is_read_no_faster_than_a_worker_may_talk(
    keeper: Keeper, peer: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    peer.setblocking(True)
    await asyncio.to_thread(peer.sendall, encode(HELLO) + encode(Beat(None)) * (BURST + 50))
    await until(lambda: len(keeper.taken) > BURST - HELLO_COSTS - 10, "the burst")
    await asyncio.sleep(0.1)
    assert len(keeper.taken) < BURST + 50
    await until(lambda: len(keeper.taken) == BURST + 50, "the rest")
    assert capsys.readouterr().out.count("control.flooded") == 1


async def test_a_worker_is_given_what_it_asks_for_on_a_connection_that_then_ends(
    keeper: Keeper, peer: socket.socket
) -> None:
    wanted = Fetch("bot", 7, b"secret", "session", 1, 4)
    peer.setblocking(True)
    peer.settimeout(30)
    with tempfile.TemporaryFile() as file:
        keeper.given = file.fileno()
        peer.send(encode(wanted))
        _byte, descriptors, _flags, _address = await asyncio.to_thread(socket.recv_fds, peer, 1, 1)
        os.write(descriptors[0], b"written by the worker")
        os.close(descriptors[0])
        assert os.pread(file.fileno(), 100, 0) == b"written by the worker"
    assert keeper.wanted == [wanted]
    await until(lambda: keeper.gone, "the connection has ended")


async def test_who_is_too_fast_gets_no_new_burst_by_connecting_anew(keeper: Keeper, peer: socket.socket) -> None:
    MEMBER.pace = Pace(left=20)
    peer.send(encode(HELLO) + encode(Beat(None)) * 50)
    await until(lambda: MEMBER.pace.over_since, "it is too fast")
    again = await connected(keeper)
    before = len(keeper.taken)
    again.send(encode(HELLO) + encode(Beat(None)) * 400)
    await asyncio.sleep(0.2)
    assert len(keeper.taken) < before + 200
    again.close()


async def test_large_frames_that_never_end_are_not_read_any_faster(keeper: Keeper, peer: socket.socket) -> None:
    """What has been received costs, also of a frame whose end never comes."""
    head = (1024 * 1024).to_bytes(4, "big")
    sent = 0

    def flood() -> None:
        nonlocal sent
        peer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for piece in (encode(HELLO) + head, *[b"\0" * 65536] * 1000):
                sent += peer.send(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supervisor.pace.BURST", 20)
        MEMBER.pace = Pace(left=20)
        for _ in range(20):
            flood()
            await asyncio.sleep(0.01)
    assert keeper.links[0].is_open
    assert sent < 2 * 1024 * 1024
    assert MEMBER.pace.over_since is not None


async def test_who_is_too_fast_for_long_is_disconnected_and_told_on(
    keeper: Keeper, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.pace.PERSISTS_S", 0.2)
    peer.setblocking(True)

    def flood() -> None:
        with contextlib.suppress(OSError):
            peer.sendall(encode(HELLO))
            while True:
                peer.sendall(encode(Beat(None)) * 100)

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    await until(lambda: keeper.told_on, "it is told on")
    assert "more than 100 messages a second" in keeper.told_on[0]
    await until(lambda: keeper.gone, "it is disconnected")
    await flooding


async def test_stranger_may_not_send_more_than_a_hello(keeper: Keeper, peer: socket.socket) -> None:
    peer.send((2048).to_bytes(4, "big"))
    await until(lambda: keeper.gone, "it is closed")


@pytest.mark.parametrize(
    "data", [encode(Beat(None)), b"\xff\xff\xff\xff", encode(HELLO) + encode(HELLO), encode(HELLO) + b"\0\0\0\1\xc1"]
)
async def test_nonsense_ends_the_connection(keeper: Keeper, peer: socket.socket, data: bytes) -> None:
    peer.send(data)
    await until(lambda: keeper.gone, "it is closed")
    assert bool(keeper.told_on) is data.startswith(encode(HELLO)), "a worker is told on, a stranger is not known"


async def test_stranger_that_says_nothing_is_given_up(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_TIMEOUT_S", 0.02)
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Link(keeper), ours)
        await until(lambda: keeper.gone, "it is closed")


async def test_peer_that_is_not_admitted_is_closed_at_once(keeper: Keeper) -> None:
    keeper.admitted = False
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Link(keeper), ours)
        await until(lambda: keeper.gone, "it is closed")
    assert not keeper.links[0].send(Refused("late"))


async def test_peer_that_does_not_read_is_given_up(keeper: Keeper, peer: socket.socket) -> None:
    (link,) = keeper.links
    while link.send(Refused("x" * 10_000)):
        pass
    assert not link.is_open
    peer.setblocking(True)
    first = peer.recv(20_000)
    assert to_worker.decode(next(iter(FrameDecoder().feed(first)))) == Refused("x" * 10_000)
    link.close()


async def test_last_words_count_although_they_cannot_be_answered(
    keeper: Keeper, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    (link,) = keeper.links

    def take(_member: Member, _generation: int, message: FromWorker) -> None:
        keeper.taken.append(message)
        link.close()

    monkeypatch.setattr(keeper, "take", take)
    peer.send(encode(HELLO) + encode(Beat(1.0)) + encode(Beat(2.0)))
    await until(lambda: len(keeper.taken) == 2, "both")


@pytest.mark.parametrize("known", [False, True])
async def test_frame_that_is_nested_too_deep_is_an_offence_and_no_crash(
    keeper: Keeper, peer: socket.socket, known: bool
) -> None:
    depth = 5_000 if known else 990  # a first frame has 1,024 bytes
    if known:
        peer.send(encode(HELLO))
        await until(lambda: keeper.links[0].member, "Hello")
    # One field more than it has: an array of four, of which the last is arrays within arrays.
    peer.send(frame(b"\x94" + msgspec.msgpack.encode(["Beat", None, None])[1:] + b"\x91" * depth + b"\xc0"))
    await until(lambda: keeper.gone, "the link is told of the end")
    assert bool(keeper.told_on) is known
    assert all("nested" in why for why in keeper.told_on)
