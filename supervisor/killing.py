"""An end to what bots have left behind: all of it is stopped before any of it is killed, until a look finds nothing.

What is stopped begets nothing. What is not found, as it was begotten meanwhile, is found by the next look, for looks go
on until one finds nothing, within bounds. A user's processes that are too quick for that are killed in one system call.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from flotilla.processes import title
from flotilla.tasks import spawn
from flotilla.users import kill_user
from supervisor.processes import signal_alone
from supervisor.remains import Ended, Left, Living, Look, look

GONE_WITHIN_S = 5.0
"""A process that was killed and is there after this waits in the kernel, for a disk or a network, or is not ours to
kill. It will not run another line of its bot's code, so nobody waits for it any longer."""

APART_S = 0.02
STUBBORN_APART_S = 1.0
"""Between two looks, each of which reads a line or two of every process of the host that is no worker."""

REST = 4
"""So many times as long as a look took: hundreds that end one after the other take a fifth of a core at most."""

ROUNDS = 4
"""Looks at most before what was stopped is killed."""

TOO_QUICK_LOOKS = 10
UNCLEAR_LOOKS = 25
"""Somebody else's processes may come and go all the time. One of ours is seen in one look of so many."""

SHOWN = 10
log = structlog.get_logger()


def end_once(
    workers: list[Ended], living: Callable[[], Living], told: set[tuple[int, int]], *, of_nobody: bool = False
) -> Look:
    """Stop, then kill, all that is left of workers that have ended; return what was found. Raises OSError.

    told: pid and start of those that were logged; grows. Only when it returns nothing, and that is not unclear, there
    is nothing. Blocks for milliseconds, or as long as it takes to stop what begets.
    """
    found: dict[tuple[int, int], Left] = {}
    unclear = False

    def stop(left: Left) -> None:
        nonlocal unclear
        if not _signal(left, signal.SIGSTOP):
            unclear = True
        elif (left.pid, left.started_at) not in found:
            found[left.pid, left.started_at] = left

    for _ in range(ROUNDS):
        before, unclear = len(found), False
        unclear |= look(workers, living(), stop, of_nobody=of_nobody).unclear
        if not found or (len(found) == before and not unclear):
            break
    for key, left in found.items():
        if key not in told:
            log.info("worker.remains_killed", bot=_bot(left), pid=left.pid)
        _signal(left, signal.SIGKILL)
    told.update(found)
    return Look(list(found.values()), unclear)


def shown(left: list[Left]) -> tuple[str, ...]:
    """Return processes as an operator reads them."""
    return tuple(f"{each.pid} ({title(each.pid)})" for each in left[:SHOWN])


def _signal(left: Left, number: signal.Signals) -> bool:
    """Return whether the process is there, whether or not it may be sent this signal."""
    try:
        return signal_alone(left.pid, left.started_at, number)
    except OSError:
        return True


def _bot(left: Left) -> str:
    return "" if left.worker is None else left.worker.bot


@dataclass(slots=True, eq=False)
class _Waiting:
    worker: Ended
    deadline: float
    done: "asyncio.Future[None]"
    looks: int = 0
    unclear: int = 0
    left: list[Left] = field(default_factory=list)


class Killing:
    """Ends what is left of workers, of all that have ended lately in one look.

    living: what lives of the fleet, asked in another thread before each look. on_stubborn: told of a worker of which
    something lives `GONE_WITHIN_S` after it was killed.
    """

    def __init__(self, living: Callable[[], Living], on_stubborn: Callable[[Ended, list[Left]], object]) -> None:
        self._living, self._on_stubborn = living, on_stubborn
        self._waiting: list[_Waiting] = []
        self._of_nobody = False
        self._told: set[tuple[int, int]] = set()
        self._task: asyncio.Task[None] | None = None

    def end(self, worker: Ended) -> "asyncio.Future[None]":
        """End what is left of a worker; the future is done when that is done, or has taken `GONE_WITHIN_S`.

        What lives then is tried again for as long as it lives.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(worker, loop.time() + GONE_WITHIN_S, loop.create_future())
        self._waiting.append(waiting)
        self._begin()
        return waiting.done

    def end_of_nobody(self) -> None:
        """End what workers have left that no supervisor remembers."""
        self._of_nobody = True
        self._begin()

    def lives(self, uid: int) -> bool:
        """Return whether something of a bot's user may live."""
        return any(waiting.worker.own_uid == uid for waiting in self._waiting)

    async def drain(self) -> None:
        """Return when nothing is left that can be ended."""
        while waited := [waiting.done for waiting in self._waiting if not waiting.done.done()]:
            await asyncio.wait(waited)

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._told.clear()
            self._task = spawn("remains", self._run())

    async def _run(self) -> None:
        while self._waiting or self._of_nobody:
            waiting, of_nobody, self._of_nobody = list(self._waiting), self._of_nobody, False
            began = asyncio.get_running_loop().time()
            try:
                await self._look(waiting, of_nobody=of_nobody)
            except OSError as fault:
                log.error("worker.remains_unread", error=str(fault))  # noqa: TRY400 - one line says it
            now = asyncio.get_running_loop().time()
            for each in waiting:
                if now >= each.deadline and not each.done.done():
                    self._give_up(each)
            if self._waiting:
                stubborn = all(each.done.done() for each in self._waiting)
                took_s = now - began
                await asyncio.sleep(STUBBORN_APART_S if stubborn else max(APART_S, REST * took_s))

    async def _look(self, waiting: list[_Waiting], *, of_nobody: bool) -> None:
        workers = [each.worker for each in waiting]
        found = await asyncio.to_thread(end_once, workers, self._living, self._told, of_nobody=of_nobody)
        for each in waiting:
            each.looks += 1
            each.left = [left for left in found.left if left.worker is each.worker]
            each.unclear = each.unclear + 1 if found.unclear and not each.left else 0
            uid = each.worker.own_uid
            if not each.left and (not found.unclear or each.unclear >= UNCLEAR_LOOKS):
                self._waiting.remove(each)
                if not each.done.done():
                    each.done.set_result(None)
            elif uid is not None and each.looks % TOO_QUICK_LOOKS == 0:
                await asyncio.to_thread(kill_user, uid, self._living().home)

    def _give_up(self, waiting: _Waiting) -> None:
        log.error("worker.remains_stay", bot=waiting.worker.bot, pids=[left.pid for left in waiting.left])
        if waiting.left:
            self._on_stubborn(waiting.worker, waiting.left)
        waiting.done.set_result(None)
