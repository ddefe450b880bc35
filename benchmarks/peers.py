"""PM2, circus and supervisord as contenders: each runs the same bot code as cold processes."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import installs
from benchmarks.contenders import Contender, Running
from benchmarks.field import Application, Field
from benchmarks.ours import STOP_TIMEOUT_S, Flotilla

COLD_BOT = Path(__file__).with_name("cold_bot.py")
CIRCUS_CHECK_S = 0.1
CIRCUS_MEMORY_CHECK_S = 1


@dataclass(frozen=True, slots=True)
class Setup:
    """How a peer is set up.

    quick: with the settings that let a dead bot return as soon as this manager can. extensions: what the bots load
    besides the usual one. memory_limit_mb: MiB above which this manager is to restart a bot, by what it has for that.
    """

    quick: bool = False
    extensions: Sequence[str] = ()
    memory_limit_mb: int | None = None


class Peer(Running):
    """Another process manager: gets a configuration file and runs `cold_bot.py` once per bot."""

    name: str
    _main: subprocess.Popen[bytes] | None = None

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()

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

    async def start(self) -> None:
        raise NotImplementedError

    def _token_file(self, bot: Application) -> Path:
        return self.field.home / "tokens" / bot.name

    def arguments(self, bot: Application) -> list[str]:
        """Return what follows the interpreter on a bot's command line."""
        return [str(COLD_BOT), str(self._token_file(bot)), self.field.discord_url, *self.setup.extensions]

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


class Pm2(Peer):
    """PM2: one application per bot, restarted without a delay; its daemon has a home of its own."""

    name = f"PM2 {installs.PM2}"

    def configure(self) -> None:
        self._home = self.field.home / "pm2"
        self._home.mkdir()
        (self._home / "touch").write_text("")  # without it PM2 greets and reports its installation over the network
        limit_mb = self.setup.memory_limit_mb
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
            | ({"max_memory_restart": f"{limit_mb}M"} if limit_mb else {})
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


class Circus(Peer):
    """circus: one watcher per bot. It looks for dead processes in turns; quick: every 0.1 s instead of every 1 s."""

    name = installs.CIRCUS[0].replace("==", " ")

    def configure(self) -> None:
        home = self.field.home
        check_s = CIRCUS_CHECK_S if self.setup.quick else 1.0
        lines = ["[circus]", f"endpoint = ipc://{home}/c.sock", f"pubsub_endpoint = ipc://{home}/p.sock"]
        lines += [f"check_delay = {check_s}", "warmup_delay = 0", "statsd = False"]
        for bot in self.field.bots:
            command = " ".join([sys.executable, *self.arguments(bot)])
            lines += [f"[watcher:{bot.name}]", f"cmd = {command}", f"working_dir = {installs.ROOT}"]
            lines += ["copy_env = True", "graceful_timeout = 5", "max_retry = -1"]
            if self.setup.memory_limit_mb:
                lines += self._watch_memory(bot, self.setup.memory_limit_mb)
        (home / "circus.ini").write_text("\n".join(lines))

    def _watch_memory(self, bot: Application, limit_mb: int) -> list[str]:
        # It looks every minute and acts at the fourth finding in a row, unless told otherwise.
        lines = [f"[plugin:memory-{bot.name}]", "use = circus.plugins.resource_watcher.ResourceWatcher"]
        lines += [f"watcher = {bot.name}", f"max_mem = {limit_mb}M", f"loop_rate = {CIRCUS_MEMORY_CHECK_S}"]
        return [*lines, "max_count = 0", "max_cpu = 0", "health_threshold = 0"]

    async def start(self) -> None:
        programs = installs.python_peer("circus", installs.CIRCUS)
        self.run(str(programs / "circusd"), str(self.field.home / "circus.ini"))


class Supervisord(Peer):
    """supervisord: one program per bot, `startsecs=0`, so that no exit counts as a failed start."""

    name = installs.SUPERVISORD[0].replace("supervisor==", "supervisord ")

    def configure(self) -> None:
        home = self.field.home
        lines = ["[supervisord]", f"logfile={home}/supervisord.log", f"pidfile={home}/supervisord.pid"]
        lines += [f"childlogdir={home}", f"directory={installs.ROOT}"]
        for bot in self.field.bots:
            command = " ".join([sys.executable, *self.arguments(bot)])
            lines += [f"[program:{bot.name}]", f"command={command}", "startsecs=0", "autorestart=true"]
        if self.setup.memory_limit_mb:
            lines += self._memmon(self.setup.memory_limit_mb)
        (home / "supervisord.ini").write_text("\n".join(lines))

    def _memmon(self, limit_mb: int) -> list[str]:
        socket = self.field.home / "s.sock"
        interface = "supervisor.rpcinterface:make_main_rpcinterface"
        lines = ["[unix_http_server]", f"file={socket}", "chmod=0600"]
        lines += ["[rpcinterface:supervisor]", f"supervisor.rpcinterface_factory = {interface}"]
        memmon = installs.python_peer("supervisord", installs.SUPERVISORD) / "memmon"
        watched = " ".join(f"-p {bot.name}={limit_mb}MB" for bot in self.field.bots)
        return [*lines, "[eventlistener:memmon]", f"command={memmon} {watched}", "events=TICK_60"]

    async def start(self) -> None:
        programs = installs.python_peer("supervisord", installs.SUPERVISORD)
        self.run(str(programs / "supervisord"), "--nodaemon", "-c", str(self.field.home / "supervisord.ini"))


def install_peers() -> None:
    """Install what is missing, so that no timed moment pays for it."""
    installs.pm2()
    installs.python_peer("circus", installs.CIRCUS)
    installs.python_peer("supervisord", installs.SUPERVISORD)


PEERS: tuple[type[Peer], ...] = (Pm2, Circus, Supervisord)


def everyone(setup: Setup) -> list[tuple[str, Callable[[], Contender]]]:
    """Return all contenders by name, ours first. `setup` is for the peers; ours takes its extensions."""
    made: list[tuple[str, Callable[[], Contender]]] = []
    made.append((Flotilla.name, lambda: Flotilla(extensions=setup.extensions)))
    made += [(peer.name, lambda peer=peer: peer(setup)) for peer in PEERS]  # type: ignore[misc]
    return made
