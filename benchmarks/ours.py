"""Flotilla as a contender: its supervisor on a home of its own."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence
from datetime import datetime

import psutil

from benchmarks.contenders import Kill, Running
from benchmarks.field import Application, Field
from flotilla.domain.bots import Desired
from flotilla.nudges import ValkeyNudges
from tests.services import Valkey
from tests.stack import Program, until

STOP_TIMEOUT_S = 15.0
CORE = "worker_bot.extensions.core"


class Flotilla(Running):
    """`python -m supervisor` on a home whose database wants all bots: imports and warm-up of the fork server count."""

    name = "Flotilla"

    def __init__(
        self,
        desired: Desired = Desired.RUNNING,
        *,
        extensions: Sequence[str] = (),
        merge_memory: bool = False,
        bots: int | None = None,
    ) -> None:
        """Make one. extensions: what the bots load besides the usual one. bots: how many it runs; None: all."""
        self._bots = bots
        self._desired = desired
        self._environment = {
            "FLOTILLA_LOG_FORMAT": "json",
            "FLOTILLA_EXTENSIONS": ",".join((CORE, *extensions)),
            "FLOTILLA_MERGE_MEMORY": str(merge_memory),
        }
        self._program: Program | None = None
        self._valkey: Valkey | None = None
        self._ids: dict[str, str] = {}

    async def prepare(self, field: Field) -> None:
        self.field = field
        settings = field.stack.settings
        self._valkey = Valkey(settings.valkey_socket)
        self._valkey.start()
        self._nudges = ValkeyNudges(settings.effective_redis_url)
        for bot in field.bots[: self._bots]:
            self._ids[bot.name] = await field.stack.add_bot(bot.name, token=bot.token, desired=self._desired)

    async def start(self) -> None:
        self._program = await self.field.stack.start("supervisor", **self._environment)

    async def crash_supervisor(self) -> Program:
        """SIGKILL the supervisor and start another at once; return it."""
        assert self._program is not None
        await self._program.end(signal.SIGKILL)
        await self.start()
        return self._program

    async def stall_supervisor(self, seconds: float) -> None:
        """Stop the supervisor, and let it go on after some seconds."""
        assert self._program is not None
        self._program.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._program.process.send_signal(signal.SIGCONT)

    async def caught_up_s(self, number: int) -> float:
        """Return how long after the stall of that number, from 1 on, the supervisor had heard every bot again."""
        program = self._program
        assert program is not None

        def told() -> list[str]:
            return [line for line in program.text().splitlines() if '"supervisor.caught_up"' in line]

        await until(lambda: len(told()) >= number, "the supervisor has heard its bots")
        return float(json.loads(told()[number - 1])["after_s"])

    async def noticed_s(self, kill: Kill) -> float | None:
        """Return seconds until the supervisor wrote of the exit; by then it has got the exit code as well."""
        assert self._program is not None
        for line in self._program.text().splitlines():
            if '"worker.exited"' in line and (told := json.loads(line))["pid"] == kill.pid:
                return datetime.fromisoformat(told["timestamp"]).timestamp() - kill.at_unix
        raise RuntimeError(f"the supervisor's log tells of no exit of {kill.pid}")

    def roots(self) -> list[int]:
        return [self._program.pid] if self._program else []

    async def rest(self, bot: Application) -> None:
        # The second crash in a row backs off; a restart that was asked for makes the next crash a first one again.
        before = await self.field.begun(bot)
        await self.field.stack.bots.restart(self._ids[bot.name])
        await self._nudges.send()
        await self.field.ready_again(bot, before)

    async def stop(self) -> None:
        everyone = self.family().all()
        with contextlib.suppress(TimeoutError):
            if self._program:
                await self._program.end(signal.SIGINT, STOP_TIMEOUT_S)
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._valkey:
            await self._nudges.close()
            self._valkey.kill()


class FlotillaUp(Flotilla):
    """The same with the supervisor already up: what is timed is asking for all bots, one by one, and their start."""

    name = "Flotilla, supervisor already up"

    def __init__(self) -> None:
        super().__init__(Desired.STOPPED)

    async def prepare(self, field: Field) -> None:
        await super().prepare(field)
        await super().start()
        program = self._program
        assert program is not None
        await until(lambda: "forkserver.warm" in program.text(), "the fork server is warm")

    async def start(self) -> None:
        for bot_id in self._ids.values():
            await self.field.stack.bots.want(bot_id, Desired.RUNNING)
        await self._nudges.send()
