"""Real programs on a real home, for tests: starts them, asks the database what they did, and leaves nothing running."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.schema import upgrade
from flotilla.db.tables import bot_transitions
from flotilla.discord import application_id_of
from flotilla.domain.bots import Bot, BotStatus, Desired
from flotilla.domain.config import DEFAULT_CONFIG, BotConfig
from flotilla.domain.policy import NO_OVERRIDES, Overrides
from flotilla.domain.worker import State
from flotilla.home import prepare_home
from flotilla.processes import start_ticks
from flotilla.secrets import TokenVault
from flotilla.settings import Settings

DEADLINE_S = 30.0


async def until(
    condition: Callable[[], Awaitable[Any]] | Callable[[], Any], what: str, deadline_s: float = DEADLINE_S
) -> Any:
    """Return the first true value of `condition`; fail with `what` when it does not come in time."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Program:
    """One of our programs as a process, with what it printed."""

    name: str
    process: asyncio.subprocess.Process
    output: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    async def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 15.0) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), deadline_s)


@dataclass
class Stack:
    """A home with its database, and the programs a test wants running in it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    sandbox_url: str = ""
    sandbox_key: str = ""
    """Of its control calls."""
    before_exec: Callable[[], None] | None = None
    """Done in the process of each program that is started from now on, before it becomes that program."""

    @classmethod
    async def create(cls, home: Path, **environment: str) -> "Stack":
        """Prepare a home and its database. environment: further FLOTILLA_… settings, without the prefix."""
        stack = cls(home)
        given = {f"FLOTILLA_{name.upper()}": value for name, value in environment.items()}
        stack.environment = {"FLOTILLA_HOME": str(home)} | _for_coverage() | given
        prepare_home(stack.settings)
        stack.database = Database(stack.settings.effective_database_url)
        await upgrade(stack.database)
        stack.bots = SqlBots(stack.database)
        stack.store = SqlFleetStore(stack.database)
        stack.vault = TokenVault(stack.settings.key_file)
        return stack

    database: Database = field(init=False)
    bots: SqlBots = field(init=False)
    store: SqlFleetStore = field(init=False)
    vault: TokenVault = field(init=False)

    @property
    def settings(self) -> Settings:
        values = {name.removeprefix("FLOTILLA_").lower(): value for name, value in self.environment.items()}
        return Settings(**values)  # type: ignore[arg-type]

    # Programs --------------------------------------------------------------------------------------------------------

    async def start(self, name: str, *arguments: str, **environment: str) -> Program:
        """Start `python -m name`; its output goes to a file in the home."""
        output = self.home / f"{name}-{len(self.programs)}.out"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                name,
                *arguments,
                env=os.environ | self.environment | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=self.before_exec,
            )
        program = Program(name, process, output)
        self.programs.append(program)
        return program

    async def start_sandbox(self, *arguments: str) -> Program:
        """Start a local Discord, with further arguments, and point everything started later at it.

        Neither it nor a supervisor keeps session starts apart, and an interaction waits long for its first response: a
        machine that is busy with other tests answers late. Unless told otherwise.
        """
        self.environment.setdefault("FLOTILLA_IDENTIFY_INTERVAL_S", "0")
        kept = ("--port", "0", "--secret-file", str(self.home / "sandbox.secret"))
        usual = (*kept, "--identify-interval-s", "0", "--initial-response-s", f"{DEADLINE_S:g}")
        program = await self.start("sandbox", *usual, *arguments)
        line = await until(lambda: program.text().partition("listening on ")[2], "the sandbox listens")
        self.use_sandbox(line.split()[0], (self.home / "sandbox.key").read_text().strip())
        return program

    @property
    def control(self) -> dict[str, str]:
        """The headers of control calls."""
        return {"Authorization": f"Bearer {self.sandbox_key}"}

    def use_sandbox(self, url: str, key: str) -> None:
        """Point everything started later at a local Discord that runs already."""
        self.sandbox_url, self.sandbox_key = url, key
        self.environment["FLOTILLA_DISCORD_URL"] = f"{url}/api/v10"

    async def start_supervisor(self, **environment: str) -> Program:
        """Start a supervisor and wait until it has taken over."""
        program = await self.start("supervisor", **environment)
        await until(lambda: "supervisor.started" in program.text(), "the supervisor started")
        return program

    async def close(self) -> None:
        """End everything: supervisors with their bots, then the rest, then whatever is left of the workers."""
        for program in reversed(self.programs):
            number = signal.SIGINT if program.name == "supervisor" else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                await program.end(number)
        rows = await self.store.fleet()
        pids = [row.status.pid for row in rows if row.status.pid]
        for row in rows:
            shutil.rmtree(self.settings.temporary_folder(row.bot.id), ignore_errors=True)
        for program in self.programs:
            if program.process.returncode is None:
                program.process.kill()
                await program.process.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.database.close()

    # Bots ------------------------------------------------------------------------------------------------------------

    async def sandbox(self, method: str, path: str, **body: object) -> Any:
        """Ask the sandbox's control API."""
        async with httpx.AsyncClient(timeout=10, headers=self.control) as client:
            answer = await client.request(method, f"{self.sandbox_url}/sandbox{path}", json=body or None)
            answer.raise_for_status()
            return answer.json()

    async def load(self, command: str = "ping", *, users: int = 5, per_second: float = 10, seconds: float) -> int:
        """Have users use a command from now on, each so many times a second; return the load's id."""
        body = {"command": command, "users": users, "per_second": per_second, "seconds": seconds}
        return int((await self.sandbox("POST", "/load", **body))["id"])

    async def load_ended(self, load_id: int) -> dict[str, Any]:
        """Wait until a load has ended, and whatever was used is answered or never will be; return how it went."""

        async def over() -> dict[str, Any] | None:
            now = await self.sandbox("GET", f"/load/{load_id}")
            return dict(now) if now["state"] != "running" and not now["pending"] else None

        found: dict[str, Any] = await until(over, "the load has ended", 3 * DEADLINE_S)
        return found

    async def all_answered(self, load_id: int) -> int:
        """Wait until a load has ended, and fail unless every command was answered; return how many there were."""
        told = await self.load_ended(load_id)
        answered = told["answered"] + told["deferred"]  # one that is late defers by itself, and is answered then
        assert (answered, told["timed_out"], told["not_connected"]) == (told["sent"], 0, 0), told
        assert told["sent"] == told["total"], told
        return int(told["sent"])

    async def add_bot(
        self,
        name: str,
        *,
        token: str | None = None,
        desired: Desired = Desired.RUNNING,
        config: BotConfig = DEFAULT_CONFIG,
        overrides: Overrides = NO_OVERRIDES,
    ) -> str:
        """Add a bot, with a token of the sandbox unless another is given; return its id."""
        if token is None:
            token = (await self.sandbox("POST", "/applications", name=name))["token"]
        bot_id = str(ULID())
        application_id = application_id_of(token)
        now = datetime.now(UTC)
        bot = Bot(bot_id, name, application_id, (), desired, 0, now, config=config, overrides=overrides)
        await self.bots.add(bot, self.vault.encrypt(token))
        return bot_id

    async def add_bots(self, count: int) -> list[str]:
        """Add bots named bot-0, bot-1, …; return their ids."""
        return [await self.add_bot(f"bot-{number}") for number in range(count)]

    async def statuses(self) -> dict[str, BotStatus]:
        """Return what is observed of every bot, by its id."""
        return {row.bot.id: row.status for row in await self.store.fleet()}

    async def status(self, bot_id: str) -> BotStatus:
        """Return what is observed of one bot."""
        return (await self.statuses())[bot_id]

    async def all_ready(self, count: int, deadline_s: float = DEADLINE_S) -> dict[str, BotStatus]:
        """Wait until `count` bots are READY; return all statuses."""

        async def ready() -> dict[str, BotStatus] | None:
            statuses = await self.statuses()
            return statuses if sum(status.ready for status in statuses.values()) == count else None

        found: dict[str, BotStatus] = await until(ready, f"{count} bots are READY", deadline_s)
        return found

    async def observed(
        self, bot_id: str, condition: Callable[[BotStatus], object], what: str, deadline_s: float = DEADLINE_S
    ) -> BotStatus:
        """Wait until `condition` holds for a bot's status; return it."""

        async def check() -> BotStatus | None:
            status = await self.status(bot_id)
            return status if condition(status) else None

        found: BotStatus = await until(check, what, deadline_s)
        return found

    async def let_in(self, bot_id: str, pid: int, secret: bytes) -> None:
        """Have the next supervisor take a process for the bot's first worker, which ran under the one before."""
        status = replace(
            await self.status(bot_id),
            state=State.RUNNING,
            ready=True,
            generation=1,
            pid=pid,
            process_started_at=start_ticks(pid),
            secret_hash=hashlib.sha256(secret).digest(),
            since=datetime.now(UTC),
        )
        await self.store.save([status], [])

    async def states_of(self, bot_id: str) -> list[tuple[str, bool]]:
        """Return the recorded transitions of a bot as (state, ready), oldest first."""
        query = sa.select(bot_transitions).where(bot_transitions.c.bot_id == bot_id).order_by(bot_transitions.c.id)
        async with self.database.read() as connection:
            return [(row.state, row.ready) for row in await connection.execute(query)]


def _for_coverage() -> dict[str, str]:
    """Return what lets workers write down which lines they ran, where that is wanted: beside the code."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ and "COVERAGE_PROCESS_START" not in os.environ:
        return {}
    return {"FLOTILLA_BOT_USERS": "shared", "FLOTILLA_BOT_WRITE_PATHS": str(Path.cwd())}


def alive(pid: int | None) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
