"""What a worker does after it has handed over, and when it ends."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from flotilla.protocol import FromWorker, MayIdentify, Relieved, Sealed, Welcome, WorkerConfig, WorkerLimits
from tests.guilds import Shard, bot, ready
from tests.stack import until
from worker_bot import sealed, seam
from worker_bot.handover import SOCKET
from worker_bot.identify import IdentifyGate
from worker_bot.inheritance import Inheritance
from worker_bot.link import Link
from worker_bot.orders import Orders
from worker_bot.requests import Call, HeldBackError, RequestGuard
from worker_bot.session import Continuity


class Worker:
    """A sealed worker whose supervisor is away."""

    def __init__(self, folder: Path) -> None:
        self.guard = RequestGuard()
        self.orders = Orders(self.guard, IdentifyGate(lambda _: False))
        self.told: list[FromWorker] = []
        self.link = Link(folder / "control.sock", "bot", 1, b"")
        self.link.send = self.told.append  # type: ignore[method-assign, assignment]
        self.stop = asyncio.Event()
        self.linking = asyncio.create_task(asyncio.sleep(60))
        self.continuity = Continuity(folder / "gateway.session")
        self.shard = Shard(bot())
        self.continuity.restore(self.shard)

    def up(self) -> None:
        self.shard._seq = 1
        self.shard._ws = object()  # type: ignore[assignment]
        self.continuity.consume("READY", self.shard, ready("s1", 1), lambda: None)

    def stay(self) -> "asyncio.Task[None]":
        """Let it stay; the test goes on beside it, as what holds a connection does."""
        test = asyncio.current_task()
        assert test is not None
        test.set_name("poll events (shard 0)")
        self.continuity.seal()
        staying = sealed.stay(self.continuity, self.link, self.orders, self.linking, self.stop)
        return asyncio.create_task(staying)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the kernel was asked for; not for the process that runs the tests."""
    asked: list[Any] = []
    real = signal.signal

    def note(number: int, handler: Any) -> Any:
        return asked.append(handler) if number == signal.SIGALRM else real(number, handler)

    monkeypatch.setattr(signal, "signal", note)
    monkeypatch.setattr(signal, "alarm", asked.append)
    monkeypatch.setattr(seam, "_sealed", [])
    return asked


@pytest.fixture
async def worker(tmp_path: Path) -> Worker:
    worker = Worker(tmp_path)
    await worker.continuity.greets()
    return worker


async def test_worker_without_sessions_ends_at_once(worker: Worker, alarms: list[Any]) -> None:
    await worker.stay()
    assert (worker.told, alarms) == ([], [])


async def test_sealed_worker_lets_nothing_pass_until_its_successor_needs_nothing(
    worker: Worker, alarms: list[Any], tmp_path: Path
) -> None:
    worker.up()
    of_the_bot = asyncio.create_task(asyncio.sleep(60))
    staying = worker.stay()
    await until(lambda: worker.told == [Sealed()], "it says that it is sealed")
    assert alarms == [signal.SIG_DFL, sealed.ALARM_S]
    assert of_the_bot.cancelled()
    assert not worker.linking.done()
    for route in ("/interactions/{interaction}/{token}/callback", "/channels/{channel}/messages"):
        with pytest.raises(HeldBackError, match="handed the bot over"):
            worker.guard.require(Call("POST", route))
    worker.orders.take(Relieved())
    await until(worker.linking.done, "it looks for no supervisor any more")
    successor = Inheritance(tmp_path, lambda *_: None, lambda *_: None)
    await successor.met()
    assert successor.is_there
    await successor.settled()
    await asyncio.wait_for(staying, 5)


async def test_stop_ends_the_sessions_and_the_worker(
    worker: Worker, alarms: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alarms == []
    closed: list[Any] = []

    async def end(shards: Any) -> None:
        closed.extend(shards)

    monkeypatch.setattr(seam, "end_sessions", end)
    worker.up()
    worker.stop.set()
    await worker.stay()
    assert closed == [worker.shard]
    assert not Continuity(tmp_path / "gateway.session").resumes


@pytest.mark.usefixtures("alarms")
async def test_worker_that_grows_on_ends(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    worker.up()
    config = WorkerConfig("http://discord", (), "INFO", WorkerLimits(memory_bound_bytes=1 - sealed.SHARED_BYTES))
    worker.orders.take(Welcome(None, config))
    await asyncio.wait_for(worker.stay(), 5)
    assert "it uses too much memory" in caplog.text


@pytest.mark.usefixtures("alarms")
async def test_worker_that_cannot_listen_leaves_its_successor_to_discord(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker.up()
    (tmp_path / SOCKET).mkdir()
    await asyncio.wait_for(worker.stay(), 5)
    assert worker.told == []
    assert "no successor can be served" in caplog.text


async def test_answers_still_reach_the_gate(worker: Worker) -> None:
    worker.orders.take(MayIdentify(0, 1))
    assert not worker.orders.relieved.is_set()
