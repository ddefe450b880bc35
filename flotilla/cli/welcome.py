"""What an operator sees once everything runs; in a demo, also where its bots come from."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from flotilla.cli.api import Api
from flotilla.cli.connection import Json
from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.sandbox.key import WithSandboxKey
from flotilla.cli.terminal import say_block
from flotilla.errors import RetryError
from flotilla.launch.admin_key import read_key
from flotilla.launch.layout import Mode, admin_key_file, program_log, supervisord_socket
from flotilla.launch.mode import DEMO_TAG, read_mode
from flotilla.launch.supervisord import Program, Supervisord
from flotilla.settings import Settings

LOOK_EVERY_S = 0.2
SAY_WHAT_IS_AWAITED_S = 10.0
PROGRAMS_TIMEOUT_S = 120.0
BOTS_TIMEOUT_S = 120.0
LOG_LINES = 5
SANDBOX_RETRIES = 7
"""New connections to try, with httpx's doubling waits: about half a minute."""
RESTARTS_WORTH_TELLING = 3
_NEEDED = {"valkey", "sandbox", "supervisor", "api", "jobs"}


def greet(settings: Settings, say: Callable[[str], None] | None = None) -> int:
    """Wait until the fleet is up, add the demo's bots, tell the operator what to do next; return the exit code."""
    tell = say or _say
    mode = read_mode(settings) or Mode.REAL
    key_file = admin_key_file(settings, mode)
    try:
        with Api.with_key(settings, read_key(key_file)) as api:
            _await_programs(settings, api, tell)
            if mode is Mode.DEMO:
                wanted = add_demo_bots(settings, api)
                _await_bots(api, wanted, tell)
    except CommandError as fault:
        tell(fault.message)
        tell(f"{_command('doctor', settings)} says more. Ctrl-C stops everything.")
        return 1
    tell("\n".join(farewell(settings, mode, key_file)))
    return 0


def farewell(settings: Settings, mode: Mode, key_file: Path) -> list[str]:
    """Return what a newcomer needs to know once everything runs."""
    url = settings.effective_url
    first = "Add your first bot" if mode is Mode.REAL else "List the bots"
    command = "bots add NAME" if mode is Mode.REAL else "bots ls"
    return [
        "",
        "Flotilla is up.",
        f"  API         {url}/api/v1   (its documentation: {url}/docs)",
        f"  Admin key   {key_file}",
        f"  {first:<20}{_command(command, settings)}",
        f"  {'See how it is':<20}{_command('status', settings)}",
        "Ctrl-C stops everything.",
    ]


def add_demo_bots(settings: Settings, api: Api) -> list[str]:
    """Make sure the first FLOTILLA_DEMO_BOTS demo bots exist, in the sandbox and here; return their names.

    Bots beyond that number stay as they are. A sandbox that has lost its state learns their names anew, and their
    commands, which nobody else would register again. Raises CommandError.
    """
    names = [f"demo-{number}" for number in range(1, settings.demo_bots + 1)]
    known = {bot["name"]: bot for bot in api.pages("/bots")}
    control = settings.discord_url.removesuffix("/api/v10")
    # /readyz does not know the sandbox: it may still be starting.
    transport = httpx.HTTPTransport(retries=SANDBOX_RETRIES)
    key = WithSandboxKey(settings)
    with httpx.Client(base_url=control, auth=key, timeout=10.0, transport=transport) as sandbox:
        for name in names:
            made = _application(sandbox, name)
            if name not in known:
                _add(api, name, str(made["token"]))
            elif known[name]["desired"] == "running" and not made["commands_registered"]:
                api.post(f"/bots/{known[name]['id']}/sync-commands")
    return names


def _add(api: Api, name: str, token: str) -> None:
    try:
        api.post("/bots", {"name": name, "token": token, "tags": [DEMO_TAG]})
    except ApiError as fault:
        if fault.code not in {"name_taken", "token_taken"}:
            raise


def _application(sandbox: httpx.Client, name: str) -> Json:
    """Return the sandbox's application of this name, made if there is none, with `token` and `commands_registered`."""
    try:
        answer = sandbox.post("/sandbox/applications", json={"name": name})
        answer.raise_for_status()
        found: Json = answer.json()
        return {"token": found["token"], "commands_registered": found["commands_registered"]}
    except (httpx.HTTPError, ValueError, KeyError) as fault:
        raise CommandError(
            f"The sandbox did not give a token for {name} ({type(fault).__name__}). Look at sandbox.log.",
            code="sandbox_failed",
        ) from fault


def _await_programs(settings: Settings, api: Api, tell: Callable[[str], None]) -> None:
    """Return when /readyz says so. Raises CommandError when a program gave up, naming its last words."""
    supervisord = Supervisord(supervisord_socket(settings))
    begun = told_at = time.monotonic()
    pids: dict[str, set[int]] = {}
    while True:
        awaited = _awaited(api)
        if not awaited:
            return
        _look_for_failures(settings, supervisord, pids)
        now = time.monotonic()
        if now - begun > PROGRAMS_TIMEOUT_S:
            raise CommandError(f"Not up after {PROGRAMS_TIMEOUT_S:.0f} s. Awaited: {awaited}.", code="timeout")
        if now - told_at > SAY_WHAT_IS_AWAITED_S:
            told_at = now
            tell(f"Still waiting for: {awaited}.")
            for name, seen in pids.items():
                if len(seen) > RESTARTS_WORTH_TELLING:
                    tell(_last_words(settings, name, f"{name} keeps ending and is started again."))
        time.sleep(LOOK_EVERY_S)


def _awaited(api: Api) -> str:
    """Return what is not ready yet, in words; nothing when all is."""
    try:
        readiness = api.readiness()
    except CommandError:
        return "the API"
    parts = {name: part for name, part in readiness.items() if isinstance(part, dict) and not part.get("ok", True)}
    return ", ".join(f"{name} ({part['detail']})" if part.get("detail") else name for name, part in parts.items())


def _look_for_failures(settings: Settings, supervisord: Supervisord, pids: dict[str, set[int]]) -> None:
    try:
        programs = [program for program in supervisord.programs() if program.name in _NEEDED]
    except RetryError:
        return
    for program in programs:
        if program.given_up:
            raise CommandError(_last_words(settings, program.name, _verdict(program)), code="program_failed")
        if program.pid is not None:
            pids.setdefault(program.name, set()).add(program.pid)


def _verdict(program: Program) -> str:
    if program.state == "EXITED":
        return f"{program.name} ended with exit code {program.exit_status} and is not started again."
    return f"{program.name} could not be started."


def _last_words(settings: Settings, program: str, verdict: str) -> str:
    log = program_log(settings, program)
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines = []
    return "\n".join([verdict, *(f"  | {line}" for line in lines), f"  The whole log: {log}"])


def _await_bots(api: Api, names: list[str], tell: Callable[[str], None]) -> None:
    """Return when all these bots are READY. Raises CommandError, naming those that are not."""
    deadline = time.monotonic() + BOTS_TIMEOUT_S
    shown = -1
    while True:
        bots = [bot for bot in api.pages("/bots", tag=DEMO_TAG) if bot["name"] in set(names)]
        ready = sum(bool(bot["ready"]) for bot in bots)
        if ready != shown:
            shown = ready
            tell(f"{ready}/{len(names)} bots READY")
        waiting = [bot for bot in bots if not bot["ready"] and bot["desired"] == "running"]
        if not waiting:
            return
        if time.monotonic() > deadline or all(bot["state"] == "FATAL" for bot in waiting):
            raise CommandError(f"Not READY: {_why(waiting)}", code="bots_not_ready")
        time.sleep(LOOK_EVERY_S)


def _why(bots: list[Json]) -> str:
    parts = [f"{bot['name']} is {bot['state']}" + (f" ({bot['reason']})" if bot.get("reason") else "") for bot in bots]
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "") + "."  # noqa: PLR2004


def _command(arguments: str, settings: Settings) -> str:
    """Return a command line that works as it stands, in the folder and with the settings of `flotilla up`."""
    chosen = [
        f"{name}={shlex.quote(value)}"
        for name, value, default in (
            ("FLOTILLA_HOME", _short(settings.home), "var"),
            ("FLOTILLA_HTTP_HOST", settings.http_host, "127.0.0.1"),
            ("FLOTILLA_HTTP_PORT", str(settings.http_port), "8800"),
        )
        if value != default
    ]
    return " ".join([*chosen, shlex.quote(_short(Path(sys.executable).parent / "flotilla")), arguments])


def _short(path: Path) -> str:
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _say(text: str) -> None:
    say_block(text, flush=True)
