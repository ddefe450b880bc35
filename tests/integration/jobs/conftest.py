"""A home with a database in shape, a Valkey to kill, and a supervisor that does as the test says."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.operations import SqlOperations
from flotilla.db.schema import upgrade
from flotilla.domain.bots import Bot, BotStatus
from flotilla.domain.operations import FINISHED, Item, ItemState, Operation, Strategy
from flotilla.domain.worker import State
from flotilla.home import prepare_home
from flotilla.settings import Settings
from tests.builders import a_bot, an_operation
from tests.services import Program, Valkey

PATIENCE_S = 60.0
StartJobs = Callable[..., Program]


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, because sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="flotilla-"))
    prepare_home(Settings(home=folder / "var"))
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def valkey(home: Path) -> Iterator[Valkey]:
    """Not started yet."""
    server = Valkey(home / "run" / "valkey.sock")
    yield server
    server.kill()


@pytest.fixture
def start(home: Path) -> Iterator[StartJobs]:
    programs: list[Program] = []

    def begin(**env: object) -> Program:
        program = Program("jobs", **{"home": home, **env})  # type: ignore[arg-type] # values are any
        programs.append(program)
        return program.start()

    yield begin
    for program in programs:
        program.end()


class Fleet:
    """The database with what a supervisor and an API do to it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bots = SqlBots(database)
        self.store = SqlFleetStore(database)
        self.operations = SqlOperations(database)
        self.restarted: list[str] = []

    async def begin(self, number: int, batch_size: int = 2) -> Operation:
        """Add bots and an operation that restarts them all; no job is enqueued."""
        rows = [a_bot(index) for index in range(number)]
        for bot in rows:
            await self.bots.add(bot, b"")
        return await self.begin_on(rows, batch_size)

    async def begin_on(self, rows: list[Bot], batch_size: int = 2) -> Operation:
        """Add an operation that restarts `rows`; no job is enqueued."""
        operation = an_operation(strategy=Strategy(batch_size=batch_size, item_timeout_s=PATIENCE_S * 4))
        await self.operations.add(operation, [Item(bot.id, bot.name) for bot in rows])
        return operation

    async def supervise_once(self) -> None:
        """Restart what was asked to be restarted, as a supervisor that is quick."""
        behind = [row for row in await self.store.fleet() if row.status.epoch < row.bot.desired_epoch]
        self.restarted += [row.bot.name for row in behind]
        ready = [BotStatus(row.bot.id, State.RUNNING, ready=True, epoch=row.bot.desired_epoch) for row in behind]
        await self.store.save(ready, [])

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Supervise meanwhile."""

        async def run() -> None:
            while True:
                await self.supervise_once()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, operation: Operation, condition: Callable[[Operation], bool], what: str) -> Operation:
        """Return the operation when `condition` holds for it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                # Another process makes it true; there is nothing here to wait on.
                while not condition(found := await self.operations.get(operation.id)):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"waited {PATIENCE_S:g} s in vain: {what}; it is {found}")
        return found

    async def until_running(self, operation: Operation, number: int) -> Operation:
        """Return the operation when `number` of its bots are in motion."""
        return await self.until(operation, lambda now: now.counts.get(ItemState.RUNNING) == number, "bots in motion")

    async def until_finished(self, operation: Operation) -> Operation:
        """Return the operation when it is finished."""
        return await self.until(operation, lambda now: now.state in FINISHED, "the operation is finished")


@pytest.fixture
async def fleet(home: Path) -> AsyncIterator[Fleet]:
    database = Database(Settings(home=home).effective_database_url)
    await upgrade(database)
    yield Fleet(database)
    await database.close()
