from datetime import UTC, datetime

import pytest

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.worker import Restart, Start, State, Stop, Worker
from supervisor.reconcile import may_be_dropped, order


def bot(desired: Desired, *, epoch: int = 0, deleted: bool = False) -> Bot:
    now = datetime.now(UTC)
    return Bot("1", "bot", "123", (), desired, epoch, now, now if deleted else None)


@pytest.mark.parametrize(
    ("desired", "worker", "epoch", "command"),
    [
        (Desired.RUNNING, Worker(State.STOPPED), 0, Start()),
        (Desired.RUNNING, Worker(State.STARTING), 0, None),
        (Desired.RUNNING, Worker(State.RUNNING), 0, None),
        (Desired.RUNNING, Worker(State.BACKOFF), 0, None),
        (Desired.RUNNING, Worker(State.FATAL), 0, None),
        (Desired.RUNNING, Worker(State.STOPPING), 0, Start()),
        (Desired.RUNNING, Worker(State.STOPPING, restart=True), 0, None),
        (Desired.RUNNING, Worker(State.RUNNING), -1, Restart()),
        (Desired.RUNNING, Worker(State.FATAL), -1, Restart()),
        (Desired.RUNNING, Worker(State.BACKOFF), -1, Restart()),
        (Desired.STOPPED, Worker(State.STOPPED), 0, None),
        (Desired.STOPPED, Worker(State.STOPPING), 0, None),
        (Desired.STOPPED, Worker(State.STOPPING, restart=True), 0, Stop()),
        (Desired.STOPPED, Worker(State.RUNNING), 0, Stop()),
        (Desired.STOPPED, Worker(State.STARTING), 0, Stop()),
        (Desired.STOPPED, Worker(State.BACKOFF), 0, Stop()),
        (Desired.STOPPED, Worker(State.FATAL), 0, Stop()),
        (Desired.STOPPED, Worker(State.RUNNING), -1, Stop()),
    ],
)
def test_what_is_wanted_decides_the_order(
    desired: Desired, worker: Worker, epoch: int, command: Start | Stop | Restart | None
) -> None:
    assert order(bot(desired), worker, epoch) == command


def test_a_bot_to_be_removed_is_stopped_whatever_else_is_wanted() -> None:
    assert order(bot(Desired.RUNNING, epoch=9, deleted=True), Worker(State.RUNNING), 0) == Stop()


def test_a_bot_is_dropped_only_without_a_process() -> None:
    removed = bot(Desired.STOPPED, deleted=True)
    assert may_be_dropped(removed, Worker(State.STOPPED))
    assert not may_be_dropped(removed, Worker(State.STOPPING))
    assert not may_be_dropped(bot(Desired.STOPPED), Worker(State.STOPPED))
