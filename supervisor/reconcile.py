"""Compares what is wanted with what is and says what to do about it: pure, and safe to repeat for ever."""

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.worker import Restart, Start, State, Stop, Worker


def order(bot: Bot, worker: Worker, epoch: int) -> Start | Stop | Restart | None:
    """Return the command that brings `worker` nearer to what is wanted of `bot`, or None.

    epoch: the `desired_epoch` that the worker's current incarnation answers.
    A worker that waits or has given up is left to its lifecycle: only a newer epoch makes it try again.
    """
    if bot.desired is Desired.STOPPED or bot.deleted_at is not None:
        settled = worker.state is State.STOPPED or (worker.state is State.STOPPING and not worker.restart)
        return None if settled else Stop()
    if worker.state is State.STOPPED:
        return Start()
    if worker.state is State.STOPPING and not worker.restart:
        return Start()
    return Restart() if bot.desired_epoch > epoch else None


def may_be_dropped(bot: Bot, worker: Worker) -> bool:
    """Return whether a bot whose removal was asked for has no process any more."""
    return bot.deleted_at is not None and worker.state is State.STOPPED
