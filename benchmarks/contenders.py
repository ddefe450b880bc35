"""What a contender is, what all contenders share, and how one gets a field and leaves nothing running."""

import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import psutil

from benchmarks.field import Application, Field, finished, open_field

_BOT_NAME = re.compile(r"(?:flotilla: bot |/tokens/)(bot-\d+)\b")


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. at: by `time.perf_counter`. at_unix: the same moment in Unix seconds, to hold against a log."""

    pid: int
    at: float
    at_unix: float


class Contender(Protocol):
    """Runs the bots of one field. `start` is what is timed: all that can be done before is done in `prepare`."""

    name: str

    async def prepare(self, field: Field) -> None:
        """Write what `start` needs."""

    async def start(self) -> None:
        """Give the start command."""

    async def wait_ready(self) -> None:
        """Wait until the local Discord has a session of every bot."""

    def family(self) -> "Family":
        """Return the processes it runs now."""

    async def kill_one(self, bot: Application) -> Kill:
        """SIGKILL a bot's process."""

    async def noticed_s(self, kill: Kill) -> float | None:
        """Return seconds from a kill until its manager knew of it, None where a manager does not say."""

    async def rest(self, bot: Application) -> None:
        """Make the next kill of this bot as good as its first."""

    async def stop(self) -> None:
        """End every process. Safe at any time."""


class Family:
    """A contender's processes: workers by the name of their bot, and the rest."""

    def __init__(self, roots: list[int]) -> None:
        self.workers: dict[str, psutil.Process] = {}
        self.managers: list[psutil.Process] = []
        for process in _with_descendants(roots):
            with contextlib.suppress(psutil.NoSuchProcess):
                found = _BOT_NAME.search(" ".join(process.cmdline()))
                if found:
                    self.workers[found.group(1)] = process
                else:
                    self.managers.append(process)

    def all(self) -> list[psutil.Process]:
        """Return workers and the rest."""
        return [*self.managers, *self.workers.values()]


def _with_descendants(roots: list[int]) -> list[psutil.Process]:
    found = []
    for pid in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            found += [root, *root.children(recursive=True)]
    return found


class Running:
    """What all contenders share: a field, and roots from which their processes descend."""

    field: Field

    async def wait_ready(self) -> None:
        await self.field.all_ready()

    def roots(self) -> list[int]:
        """Return the pids that everything else descends from."""
        raise NotImplementedError

    def family(self) -> Family:
        return Family(self.roots())

    async def kill_one(self, bot: Application) -> Kill:
        worker = self.family().workers[bot.name]
        kill = Kill(worker.pid, time.perf_counter(), time.time())
        worker.kill()
        return kill

    async def noticed_s(self, kill: Kill) -> float | None:  # noqa: ARG002 - few managers log to the millisecond
        return None

    async def rest(self, bot: Application) -> None:  # noqa: ARG002 - no peer needs it
        return


@contextlib.asynccontextmanager
async def competing(contender: Contender, bots: int) -> AsyncIterator[Field]:
    """Yield a field on which `contender` is prepared, and leave nothing of it running."""
    async with open_field(bots) as field:
        try:
            await contender.prepare(field)
            yield field
        finally:
            await finished(contender.stop())
