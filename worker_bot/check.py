"""A dry run of an extension or an app: it is imported, made and started against a stub, in this process alone.

`python -m worker_bot.check REPORT STACK NAME [FOLDER…]`: one JSON object is written to the descriptor REPORT;
on SIGUSR2 the stacks go to STACK. Whoever starts it has the time limit. It has no token, and hikari reaches nobody.
"""

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import hikari
from aiohttp import web

from flotilla.domain.config import BotConfig
from flotilla.hardening import harden
from flotilla.protocol import WorkerConfig, WorkerLimits
from flotilla.tasks import awaited
from worker_bot import clients, command_rules, command_sync, making, tracebacks
from worker_bot.bot import Bot
from worker_bot.loading import describe
from worker_bot.stubs import DRY_TOKEN, StubDiscord

STARTED_S: Final = 0.2
"""How long it is listened, after the start, for what the code raises then."""


@dataclass
class Report:
    """What was found. problem: why it does not work, a sentence; None: it does. notes: what could not be tried."""

    name: str
    kind: str
    problem: str | None = None
    traceback: str = ""
    commands: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def fail(self, problem: str, traceback: str = "") -> None:
        """Note the first problem; what follows from it is no news."""
        if self.problem is None:
            self.problem, self.traceback = problem, traceback


class _Discord(StubDiscord):
    """The stub, with what was registered there."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.registered: dict[str, list[dict[str, Any]]] = {}
        super().__init__()

    def serve(self, router: web.UrlDispatcher) -> None:
        """Serve what a bot asks for while it starts; what else it does is noted."""
        for guild in ("", "/guilds/{guild}"):
            router.add_route("*", f"/api/v10/applications/{{id}}{guild}/commands", self._register)
        for me in ("applications/@me", "oauth2/applications/@me"):
            router.add_get(f"/api/v10/{me}", self._application)
        router.add_route("*", "/api/v10/{rest:.*}", self._unserved)

    def _answers(self, operation: int) -> list[dict[str, Any]]:
        return [answer for answer in super()._answers(operation) if answer.get("t") != "INTERACTION_CREATE"]

    async def _register(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response([])
        body, guild = await request.json(), request.match_info.get("guild", "")
        if isinstance(body, list):
            self.registered[guild] = body
            return web.json_response([self._command(wanted) for wanted in body])
        self.registered.setdefault(guild, []).append(body)
        return web.json_response(self._command(body))

    async def _unserved(self, request: web.Request) -> web.Response:
        self._report.notes.append(
            f"It asked for {request.method} /{request.match_info['rest']}, which a dry run has not."
        )
        return web.json_response({"code": 0, "message": "404: a dry run has not this"}, status=404)


class _Ear(logging.Handler):
    """Hears what hikari and lightbulb only log: what a listener raises while the bot starts."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or isinstance(error, hikari.HTTPError):
            return  # the stub's own 404, which is among the notes
        self.heard.append(error)


async def check(name: str) -> Report:
    """Return what happens when a worker loads this extension, or runs this app."""
    report = Report(name, "app" if ":" in name else "extension")
    began = time.monotonic()
    ear = _Ear()
    logging.getLogger().addHandler(ear)
    discord = _Discord(report)
    url = await discord.start()
    try:
        await _start(name, f"{url}/api/v10", report)
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        report.fail(str(error) or type(error).__name__, tracebacks.authors(error.__cause__ or error))
    finally:
        await discord.stop()
        logging.getLogger().removeHandler(ear)
    for heard in ear.heard:
        report.fail(describe(heard), tracebacks.of(heard))
    report.notes += [
        f"The command {name} is registered nowhere, and taken away where it was: its list of guilds is empty. "
        "Leave out `guilds`, or name at least one."
        for client in clients.made()
        for name in command_sync.nowhere(client)
    ]
    for guild, commands in discord.registered.items():
        report.commands += [_shown(command, guild) for command in commands]
        for fault in command_rules.faults(commands):
            report.fail(f"Discord would refuse its commands. {fault}")
    report.seconds = round(time.monotonic() - began, 2)
    return report


async def _start(name: str, url: str, report: Report) -> None:
    async def nothing() -> None:
        return

    app = ":" in name
    config = WorkerConfig(
        url, () if app else (name,), "INFO", WorkerLimits(), bot=BotConfig(app=name) if app else BotConfig()
    )
    bot = Bot(DRY_TOKEN, config, on_ready=nothing, on_lost=nothing)
    running = awaited(bot.run())
    try:
        await asyncio.wait({running, awaited(bot.started.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.wait({running}, timeout=STARTED_S)
        if running.done():
            await running
            report.fail("The bot ends by itself once it has started.")
    finally:
        await bot.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running


def _shown(command: dict[str, Any], guild: str) -> dict[str, Any]:
    options = [str(option.get("name")) for option in command.get("options") or ()]
    about = {"name": command.get("name"), "type": command_rules.kind_of(command)}
    return about | {"description": command.get("description") or "", "options": options, "guild_id": guild or None}


def main(arguments: list[str]) -> None:
    """Check what the arguments name, and write the report."""
    harden()
    report, stack, name, *folders = arguments
    for descriptor in map(int, (report, stack)):
        os.set_inheritable(descriptor, False)
    faulthandler.register(signal.SIGUSR2, file=int(stack))
    sys.dont_write_bytecode = True
    sys.path += folders
    making.offer_placeholders()
    logging.basicConfig(stream=sys.stderr)
    logging.disable(logging.INFO)
    os.write(int(report), b"\n")  # from now on it is the author's time that runs
    found = asyncio.run(check(name))
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(int(report), "w") as file:
        json.dump(asdict(found), file)
    os._exit(0)  # what the code left running ends with it


if __name__ == "__main__":
    main(sys.argv[1:])
