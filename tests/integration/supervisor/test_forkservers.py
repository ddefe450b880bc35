"""Fork servers beside one another, real ones and played ones, and the roll-overs that use them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from flotilla.domain.policy import Policy
from flotilla.domain.rollover import Pace
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus
from flotilla.domain.vitals import ForkServerState, HostVitals
from flotilla.protocol import VERSION, Fork, Forked, ForkFailed, Preload, Preloaded, Reaped, Warm, encode
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.forkserver import MAX_SILENT_LOOKS, ForkHandlers, ForkServer, NotUpError
from supervisor.forkservers import ForkServers
from supervisor.journal import Journal
from supervisor.rollover import Rollovers
from supervisor.shell import Shell
from supervisor.zygote import ForkServerProcess
from tests.builders import T0, none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.fakes.rollovers import MemoryRollovers
from tests.stack import alive, until


@dataclass
class Answers:
    """What became of the orders."""

    forked: list[tuple[str, int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def handlers(self) -> ForkHandlers:
        return ForkHandlers(self.on_forked, lambda message: self.failed.append(message.bot_id))

    def on_forked(self, message: Forked, number: int) -> None:
        self.forked.append((message.bot_id, number))


def order(bot_id: str, home: Path) -> Fork:
    return Fork(bot_id, f"bot-{bot_id}", 1, b"x" * 32, str(home / "no.sock"), str(home / f"{bot_id}.log"))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def servers(answers: Answers) -> AsyncIterator[ForkServers]:
    """Fork servers that run until the test ends."""
    made = ForkServers(answers.handlers(), lambda: Preload(()), 30.0)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def pids(servers: ForkServers) -> list[int]:
    return [server.pid for server in servers._living]


async def test_a_fork_server_that_hangs_is_told_from_one_that_answers(servers: ForkServers) -> None:
    assert servers.show(HostVitals()).fork_server is ForkServerState.UNNEEDED
    await servers.serving()
    for _ in range(5):
        servers.ask()
        await until(lambda: servers._living[0].silent_s == 0, "it answers")
    assert servers.show(HostVitals()).fork_server is ForkServerState.ANSWERS
    (pid,) = pids(servers)
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            servers.ask()
        vitals = servers.show(HostVitals())
        assert (vitals.fork_server, vitals.fork_server_pid) == (ForkServerState.SILENT, pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: servers.show(HostVitals()).fork_server is ForkServerState.ANSWERS, "it answers again")


async def test_a_fork_server_that_dies_beside_a_new_one_is_followed_by_that(
    servers: ForkServers, answers: Answers, tmp_path: Path
) -> None:
    servers.fork(order("early", tmp_path))
    assert await servers.serving() == 1
    servers.count_from(7)
    assert await servers.start_new() == 8
    servers.move("moved")
    for bot_id in ("moved", "stays"):
        servers.fork(order(bot_id, tmp_path))
    await until(lambda: len(answers.forked) == 3, "all are forked")
    assert sorted(answers.forked) == [("early", 1), ("moved", 8), ("stays", 1)]
    os.kill(pids(servers)[0], signal.SIGKILL)
    await until(lambda: servers.serving_number == 8, "the new one serves")
    assert (servers.lives(1), servers.lives(8)) == (False, True)
    servers.fork(order("after", tmp_path))
    await until(lambda: ("after", 8) in answers.forked, "the new one forks")


async def test_a_new_fork_server_that_dies_while_it_starts_is_told_and_its_orders_go_to_the_old_one(
    servers: ForkServers, answers: Answers, tmp_path: Path
) -> None:
    await servers.serving()
    starting = asyncio.create_task(servers.start_new())
    await until(lambda: len(pids(servers)) == 2, "the new one starts")
    servers.move("moved")
    servers.fork(order("moved", tmp_path))
    os.kill(pids(servers)[1], signal.SIGKILL)
    with pytest.raises(NotUpError, match="ended before it was up, with exit code -9"):
        await starting
    await until(lambda: answers.forked == [("moved", 1)], "the old one forks")
    servers.discard()
    assert servers.serving_number == 1


async def test_a_discarded_fork_server_ends_when_its_last_worker_is_gone(
    servers: ForkServers, answers: Answers, tmp_path: Path
) -> None:
    await servers.serving()
    await servers.start_new()
    new = pids(servers)[1]
    servers.move("moved")
    servers.fork(order("moved", tmp_path))
    await until(lambda: answers.forked, "it is forked")
    servers.discard()
    await asyncio.sleep(0.2)  # it must not end while its worker, which finds no supervisor, lives
    assert alive(new)
    psutil.Process(new).children()[0].kill()
    await until(lambda: not alive(new), "the new one has ended")


async def test_without_processes_to_be_had_there_is_no_new_fork_server(
    servers: ForkServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.serving()

    def refuse() -> ForkServerProcess:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(ForkServerProcess, "spawn", refuse)
    with pytest.raises(NotUpError, match="No process could be started"):
        await servers.start_new()
    os.kill(pids(servers)[0], signal.SIGKILL)
    with capture_logs() as logs:
        await until(lambda: any(row["event"] == "forkserver.not_started" for row in logs), "it is told")
    with pytest.raises(NotUpError, match="has just died"):
        await servers.serving()
    monkeypatch.undo()
    await until(lambda: servers.serving_number is not None, "the next one serves")


# A played fork server ------------------------------------------------------------------------------------------------


@dataclass
class Played:
    """A fork server whose part a test plays: what it says, what it prints."""

    server: ForkServer
    theirs: socket.socket
    running: asyncio.Task[None]

    def say(self, body: bytes) -> None:
        self.theirs.sendall(body)


@pytest.fixture
def process() -> Iterator[tuple[ForkServerProcess, socket.socket]]:
    ours, theirs = socket.socketpair()
    script = 'echo "boom: https://me:hunter2@x/"; exec sleep 60'
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    yield ForkServerProcess(child, ours, child.stdout), theirs
    theirs.close()
    ours.close()
    child.kill()
    child.wait()
    child.stdout.close()


@pytest.fixture
async def played(process: tuple[ForkServerProcess, socket.socket], answers: Answers) -> AsyncIterator[Played]:
    server = ForkServer(1, process[0], answers.handlers(), Preload(()))
    running = asyncio.create_task(server.run())
    yield Played(server, process[1], running)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("said", [encode(Warm(0.1, 999)), b"\x00\x00\x00\x02\xc1\xc1", b"\xff\xff\xff\xff"])
async def test_a_fork_server_of_another_release_is_refused_with_what_to_do(
    played: Played, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.zygote.STOP_TIMEOUT_S", 0.1)
    played.say(said)
    with pytest.raises(NotUpError, match="does not speak as this supervisor does") as raised:
        await played.server.up(10)
    assert "flotilla supervisor restart" in raised.value.why
    assert raised.value.details == "boom: https://me:[redacted]@x/"


async def test_a_fork_server_that_never_gets_warm_is_killed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.forkserver.WARM_TIMEOUT_S", 0.2)
    with pytest.raises(NotUpError, match=r"not warm within 0\.2 s"):
        await played.server.up(10)
    await asyncio.wait_for(played.server.ended.wait(), 10)


async def test_orders_that_a_fork_server_took_to_its_grave_are_failed(
    played: Played, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.zygote.STOP_TIMEOUT_S", 0.1)
    played.server.fork(order("early", tmp_path))
    played.say(encode(Warm(0.1, VERSION)))
    await until(lambda: played.server.warm, "it is warm")
    played.server.fork(order("late", tmp_path))
    played.say(encode(ForkFailed("late", 1, "EAGAIN")))
    await until(lambda: answers.failed == ["late"], "the kernel's refusal is told")
    played.theirs.close()
    await asyncio.wait_for(played.server.ended.wait(), 10)
    assert answers.failed == ["late", "early"]
    assert await played.server.exit_code(("late", 1)) is None


async def test_exit_code_that_nobody_asked_for_does_not_answer_for_a_later_worker_of_that_pid(
    played: Played, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.forkserver.EXIT_CODE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("supervisor.zygote.STOP_TIMEOUT_S", 0.1)
    played.say(encode(Forked("first", 1, 4711, 1)) + encode(Reaped(4711, 3)) + encode(Forked("second", 5, 4711, 2)))
    await until(lambda: len(answers.forked) == 2, "both are forked")
    assert await played.server.exit_code(("second", 5)) is None, "it is not known yet how that one ended"
    assert await played.server.exit_code(("first", 1)) == 3
    played.say(encode(Forked("third", 2, 4711, 3)) + encode(Reaped(4711, -9)))
    await until(lambda: len(answers.forked) == 3, "one more is forked")
    assert played.server.is_parent_of(("third", 2))
    assert await played.server.exit_code(("third", 2)) == -9
    assert not played.server.is_parent_of(("third", 2))


async def test_a_fork_server_that_does_not_answer_is_killed_after_so_many_looks_and_its_orders_are_failed(
    played: Played, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.zygote.STOP_TIMEOUT_S", 0.1)
    played.say(encode(Warm(0.1, VERSION)))
    await until(lambda: played.server.warm, "it is warm")
    played.server.fork(order("lost", tmp_path))
    for _ in range(3 * MAX_SILENT_LOOKS):
        played.server.look()  # it imports, and that has a time of its own
    played.say(encode(Preloaded()))
    await played.server.up(10)
    for _ in range(MAX_SILENT_LOOKS):
        played.server.look()
    played.say(encode(ForkFailed("another", 1, "EAGAIN")))
    await until(lambda: answers.failed == ["another"], "it says something, which counts")
    for _ in range(MAX_SILENT_LOOKS):
        played.server.look()
    assert not played.server.ended.is_set()
    played.server.look()
    played.theirs.close()
    await asyncio.wait_for(played.server.ended.wait(), 10)
    assert answers.failed == ["another", "lost"]


async def test_an_old_fork_server_whose_workers_stay_is_ended_all_the_same(
    servers: ForkServers, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.forkservers.RETIRE_TIMEOUT_S", 0.2)
    await servers.serving()
    servers.fork(order("stays", tmp_path))
    await until(lambda: answers.forked, "it is forked")
    old = pids(servers)[0]
    (child,) = psutil.Process(old).children()
    await servers.start_new()
    servers.promote()
    await until(lambda: not alive(old), "the old one has ended")
    assert alive(child.pid)
    child.kill()


# Roll-overs without bots ---------------------------------------------------------------------------------------------


@dataclass
class Host:
    """An empty fleet, and a database that can go away."""

    store: MemoryRollovers
    rollovers: Rollovers
    running: asyncio.Task[None]

    async def status(self, *phases: Phase) -> RolloverStatus:
        await until(lambda: any(row.phase in phases for row in self.store.statuses.values()), f"it is {phases}")
        (found,) = self.store.statuses.values()
        return found


@pytest.fixture
async def host(servers: ForkServers) -> AsyncIterator[Host]:
    fleet = Fleet(
        Policy(),
        Journal(MemoryFleetStore(), none_refused),
        Shell(lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None),
        spawn_concurrency=1,
    )
    store = MemoryRollovers()
    rollovers = Rollovers(store, fleet, servers, Chronicle(MemoryFleetStore()), Pace(), 0.05)
    writing = asyncio.create_task(rollovers.writer.run())
    running = asyncio.create_task(rollovers.run())
    yield Host(store, rollovers, running)
    for task in (running, writing):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_end_of_a_rollover_is_stored_when_the_database_is_back(host: Host, servers: ForkServers) -> None:
    host.store.away = True
    host.store.put(RolloverRequest("1", "me", T0))
    host.rollovers.look()
    await servers.serving()
    host.store.away = False
    await host.status(Phase.WARMING)
    host.store.away = True
    await until(lambda: servers.serving_number == 2, "the new one serves")
    writer = host.rollovers.writer
    await until(lambda: any(row.phase is Phase.DONE for row in writer.waiting()), "its end is to be stored")
    await until(lambda: writer.is_away, "it could not be stored")
    assert host.store.statuses["1"].phase is Phase.WARMING
    host.store.away = False
    ended = await host.status(Phase.DONE)
    assert (ended.old_server, ended.new_server, ended.total) == (1, 2, 0)
    assert ended.finished_at is not None


async def test_one_that_was_left_on_its_way_back_is_told_as_interrupted(host: Host, servers: ForkServers) -> None:
    host.store.put(RolloverRequest("1", "me", T0))
    await host.store.save(RolloverStatus("1", Phase.ROLLING_BACK, new_server=3))
    ended = await host.status(*FINISHED)
    assert (ended.phase, ended.new_server) == (Phase.INTERRUPTED, 3)
    assert "The supervisor ended while it was taking bots back" in str(ended.reason)
    assert not servers.lives(2)


async def test_one_that_was_left_while_it_rolled_is_finished_with_the_fork_server_that_serves(
    host: Host, servers: ForkServers
) -> None:
    host.store.put(RolloverRequest("1", "me", T0))
    await host.store.save(RolloverStatus("1", Phase.ROLLING, new_server=1))
    ended = await host.status(*FINISHED)
    assert (ended.phase, servers.serving_number) == (Phase.DONE, 1)


async def test_an_old_fork_server_that_dies_takes_the_way_back_with_it(host: Host, servers: ForkServers) -> None:
    host.store.put(RolloverRequest("1", "me", T0))
    host.rollovers.look()
    await servers.serving()
    await until(lambda: len(pids(servers)) == 2, "the new one starts")
    os.kill(pids(servers)[0], signal.SIGKILL)
    assert (await host.status(*FINISHED)).phase is Phase.DONE
