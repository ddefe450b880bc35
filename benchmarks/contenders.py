"""Who competes: Flotilla, and PM2, circus and supervisord running the same bot code as cold processes."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks import installs
from benchmarks.field import Application, Field, finished, open_field
from flotilla.domain.bots import Desired
from flotilla.nudges import ValkeyNudges
from tests.services import Valkey
from tests.stack import Program, until

COLD_BOT = Path(__file__).with_name("cold_bot.py")
STOP_TIMEOUT_S = 15.0
CIRCUS_CHECK_S = 0.1
_BOT_NAME = re.compile(r"(?:flotilla: bot |/tokens/)(bot-\d+)\b")


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

    async def kill_one(self, bot: Application) -> float:
        """SIGKILL a bot's process; return when, by `time.perf_counter`."""

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


class _Running:
    """What all contenders share: a field, and roots from which their processes descend."""

    field: Field

    async def wait_ready(self) -> None:
        await self.field.all_ready()

    def roots(self) -> list[int]:
        """Return the pids that everything else descends from."""
        raise NotImplementedError

    def family(self) -> Family:
        return Family(self.roots())

    async def kill_one(self, bot: Application) -> float:
        worker = self.family().workers[bot.name]
        at = time.perf_counter()
        worker.kill()
        return at

    async def rest(self, bot: Application) -> None:  # noqa: ARG002 - no peer needs it
        return


class Flotilla(_Running):
    """`python -m supervisor` on a home whose database wants all bots: imports and warm-up of the fork server count."""

    name = "Flotilla"

    def __init__(self, desired: Desired = Desired.RUNNING) -> None:
        self._desired = desired
        self._program: Program | None = None
        self._valkey: Valkey | None = None
        self._ids: dict[str, str] = {}

    async def prepare(self, field: Field) -> None:
        self.field = field
        settings = field.stack.settings
        self._valkey = Valkey(settings.valkey_socket)
        self._valkey.start()
        self._nudges = ValkeyNudges(settings.effective_redis_url)
        for bot in field.bots:
            self._ids[bot.name] = await field.stack.add_bot(bot.name, token=bot.token, desired=self._desired)

    async def start(self) -> None:
        self._program = await self.field.stack.start("supervisor")

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
        self._program = program = await field.stack.start("supervisor")
        await until(lambda: "forkserver.warm" in program.text(), "the fork server is warm")

    async def start(self) -> None:
        for bot_id in self._ids.values():
            await self.field.stack.bots.want(bot_id, Desired.RUNNING)
        await self._nudges.send()


class _Peer(_Running):
    """Another process manager: gets a configuration file and runs `cold_bot.py` once per bot."""

    name: str
    quick: bool
    _main: subprocess.Popen[bytes] | None = None

    def __init__(self, *, quick: bool = False) -> None:
        """Make one. quick: with the settings that let a dead bot return as soon as this manager can."""
        self.quick = quick

    async def prepare(self, field: Field) -> None:
        self.field = field
        (field.home / "tokens").mkdir(mode=0o700)
        for bot in field.bots:
            path = self._token_file(bot)
            path.touch(mode=0o600)
            path.write_text(bot.token)
        self.configure()

    def configure(self) -> None:
        """Write the configuration."""
        raise NotImplementedError

    def _token_file(self, bot: Application) -> Path:
        return self.field.home / "tokens" / bot.name

    def arguments(self, bot: Application) -> list[str]:
        """Return what follows the interpreter on a bot's command line."""
        return [str(COLD_BOT), str(self._token_file(bot)), self.field.discord_url]

    def run(self, *command: str, **environment: str) -> None:
        """Start the manager, away from this terminal's Ctrl-C: `stop` ends it."""
        with (self.field.home / "manager.out").open("ab") as output:
            self._main = subprocess.Popen(
                command,
                env=os.environ | environment,
                cwd=installs.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def roots(self) -> list[int]:
        return [self._main.pid] if self._main else []

    async def stop(self) -> None:
        everyone = self.family().all()
        for process in everyone[: len(self.roots())]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = await asyncio.to_thread(psutil.wait_procs, everyone, STOP_TIMEOUT_S)
        for process in [*alive, *self.family().all()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._main:
            self._main.wait()


class Pm2(_Peer):
    """PM2: one application per bot, restarted without a delay; its daemon has a home of its own."""

    name = f"PM2 {installs.PM2}"

    def configure(self) -> None:
        self._home = self.field.home / "pm2"
        self._home.mkdir()
        (self._home / "touch").write_text("")  # without it PM2 greets and reports its installation over the network
        apps = [
            {
                "name": bot.name,
                "script": self.arguments(bot)[0],
                "args": self.arguments(bot)[1:],
                "interpreter": sys.executable,
                "cwd": str(installs.ROOT),
                "vizion": False,
                "min_uptime": 0,
                "restart_delay": 0,
            }
            for bot in self.field.bots
        ]
        (self._home / "bots.json").write_text(json.dumps({"apps": apps}))

    async def start(self) -> None:
        command = [*installs.pm2(), "start", "--silent", str(self._home / "bots.json")]
        self.run(*command, PM2_HOME=str(self._home), PM2_DISABLE_VERSION_CHECK="1")

    def roots(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError):
            return [int((self._home / "pm2.pid").read_text()), *super().roots()]
        return super().roots()


class Circus(_Peer):
    """circus: one watcher per bot. It looks for dead processes in turns; quick: every 0.1 s instead of every 1 s."""

    name = installs.CIRCUS[0].replace("==", " ")

    def configure(self) -> None:
        home = self.field.home
        check_s = CIRCUS_CHECK_S if self.quick else 1.0
        lines = ["[circus]", f"endpoint = ipc://{home}/c.sock", f"pubsub_endpoint = ipc://{home}/p.sock"]
        lines += [f"check_delay = {check_s}", "warmup_delay = 0", "statsd = False"]
        for bot in self.field.bots:
            command = " ".join([sys.executable, *self.arguments(bot)])
            lines += [f"[watcher:{bot.name}]", f"cmd = {command}", f"working_dir = {installs.ROOT}"]
            lines += ["copy_env = True", "graceful_timeout = 5", "max_retry = -1"]
        (home / "circus.ini").write_text("\n".join(lines))

    async def start(self) -> None:
        programs = installs.python_peer("circus", installs.CIRCUS)
        self.run(str(programs / "circusd"), str(self.field.home / "circus.ini"))


class Supervisord(_Peer):
    """supervisord: one program per bot, `startsecs=0`, so that no exit counts as a failed start."""

    name = installs.SUPERVISORD[0].replace("supervisor==", "supervisord ")

    def configure(self) -> None:
        home = self.field.home
        lines = ["[supervisord]", f"logfile={home}/supervisord.log", f"pidfile={home}/supervisord.pid"]
        lines += [f"childlogdir={home}", f"directory={installs.ROOT}"]
        for bot in self.field.bots:
            command = " ".join([sys.executable, *self.arguments(bot)])
            lines += [f"[program:{bot.name}]", f"command={command}", "startsecs=0", "autorestart=true"]
        (home / "supervisord.ini").write_text("\n".join(lines))

    async def start(self) -> None:
        programs = installs.python_peer("supervisord", installs.SUPERVISORD)
        self.run(str(programs / "supervisord"), "--nodaemon", "-c", str(self.field.home / "supervisord.ini"))


def install_peers() -> None:
    """Install what is missing, so that no timed moment pays for it."""
    installs.pm2()
    installs.python_peer("circus", installs.CIRCUS)
    installs.python_peer("supervisord", installs.SUPERVISORD)


def everyone(*, quick: bool) -> list[tuple[str, Callable[[], Contender]]]:
    """Return all contenders by name, ours first. quick: see `_Peer`."""
    peers: list[type[_Peer]] = [Pm2, Circus, Supervisord]
    made: list[tuple[str, Callable[[], Contender]]] = [(Flotilla.name, Flotilla)]
    made += [(peer.name, lambda peer=peer: peer(quick=quick)) for peer in peers]  # type: ignore[misc]
    return made


@contextlib.asynccontextmanager
async def competing(contender: Contender, bots: int) -> AsyncIterator[Field]:
    """Yield a field on which `contender` is prepared, and leave nothing of it running."""
    async with open_field(bots) as field:
        try:
            await contender.prepare(field)
            yield field
        finally:
            await finished(contender.stop())
