"""What is stored in the background: tried again while a store is away, never twice at once, and at the end in time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from flotilla.errors import RetryError
from supervisor import storing as module
from supervisor.storing import RETRY_CAP_S, Storing, retry_delay_s, store_all
from tests.stack import until


class Work:
    """Something to store. fault: what it raises; hangs: until it is cancelled."""

    def __init__(self, what: str, done: list[str]) -> None:
        self.what, self.done = what, done
        self.fault: Exception | None = None
        self.hangs = False
        self.storing = Storing(what, self.act)

    async def act(self) -> float:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.fault is not None:
            raise self.fault
        self.done.append(self.what)
        return 0.0


@pytest.fixture
def done() -> list[str]:
    return []


def test_the_wait_grows_to_a_cap_also_after_days() -> None:
    assert retry_delay_s(1, 0.5) == pytest.approx(0.1)
    assert retry_delay_s(3, 1.0) == pytest.approx(0.8)
    assert retry_delay_s(6, 1.0) == retry_delay_s(100_000, 1.0) == RETRY_CAP_S
    assert retry_delay_s(9, 0.0) == 0


async def test_what_failed_is_tried_again_by_itself(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_CAP_S", 0.001)
    for fault in (RetryError("away"), ValueError("of ours")):
        work = Work("rows", done)
        work.fault = fault
        running = asyncio.create_task(work.storing.run())
        work.storing.ask()
        with capture_logs() as logs:
            await until(lambda work=work: work.storing.failures > 5, "it was tried often")
        assert not running.done(), "no error of a store ends the program"
        told = [row for row in logs if row["log_level"] in {"warning", "error"}]
        assert {row["event"] for row in told} == {"storing.away" if isinstance(fault, RetryError) else "storing.failed"}
        work.fault = None
        await until(lambda: done, "it is stored")
        assert work.storing.failures == 0
        running.cancel()
        done.clear()


async def test_at_the_end_the_first_is_stored_although_another_hangs(done: list[str]) -> None:
    ledger, slow, other = (Work(what, done) for what in ("ledger", "slow", "other"))
    slow.hangs = True
    deadline = asyncio.get_running_loop().time() + 0.2
    with capture_logs() as logs:
        await store_all(ledger.storing, [slow.storing, other.storing], deadline)
    assert done == ["ledger", "other"]
    assert [row["what"] for row in logs if row["event"] == "storing.left"] == [["slow"]]
    assert asyncio.get_running_loop().time() < deadline + 5


async def test_at_the_end_what_is_away_keeps_nobody_waiting(done: list[str]) -> None:
    ledger, away, other = (Work(what, done) for what in ("ledger", "away", "other"))
    ledger.fault = away.fault = RetryError("away")
    loop = asyncio.get_running_loop()
    began = loop.time()
    with capture_logs() as logs:
        await store_all(ledger.storing, [away.storing, other.storing], began + 60)
    assert loop.time() - began < 30
    assert done == ["other"]
    assert [row["what"] for row in logs if row["event"] == "storing.left"] == [["away", "ledger"]]


async def test_at_the_end_what_is_under_way_is_waited_for_and_not_done_twice(done: list[str]) -> None:
    gate, rows = asyncio.Event(), ["start"]

    async def act() -> float:
        taken = list(rows)
        await gate.wait()
        done.extend(taken)
        rows.clear()
        return 0.0

    ledger = Storing("ledger", act)
    running = asyncio.create_task(ledger.run())
    ledger.ask()
    await asyncio.sleep(0.01)
    ending = asyncio.create_task(store_all(ledger, [], asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0.01)
    gate.set()
    await ending
    running.cancel()
    assert done == ["start"]
