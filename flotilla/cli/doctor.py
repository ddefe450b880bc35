"""`flotilla doctor`: the table of checks of an installation, each with how to mend what it finds."""

import asyncio
import os
import sys
from collections.abc import Callable

from flotilla.checks import Check, Finding, InThread, examine
from flotilla.cli.drawing import Text
from flotilla.cli.render import console, table
from flotilla.cli.running import Running
from flotilla.errors import FlotillaError
from flotilla.launch import probes
from flotilla.launch.layout import Mode
from flotilla.launch.mode import read_mode
from flotilla.redaction import redact_text
from flotilla.settings import Settings, load_settings

TIMEOUT_S = 8.0
"""Of all checks together; each is shorter by itself unless what it looks at hangs."""


def examine_all() -> list[Finding]:
    """Run every check; none of them changes anything or raises. Takes little more than TIMEOUT_S whatever hangs."""
    try:
        settings = load_settings()
    except FlotillaError as fault:
        found = asyncio.run(examine(_of_machine(), TIMEOUT_S))
        return [*found, Finding("Settings", ok=False, text=fault.message)]
    return asyncio.run(examine([*_of_machine(), *_of_installation(settings)], TIMEOUT_S))


def report(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    made = table("", "CHECK", "FINDING")
    for finding in findings:
        text = finding.text + (f" {finding.fault}" if finding.fault is not None else "")
        made.add_row("✔" if finding.ok else "✖", finding.name, Text.block(redact_text(text)))
    console().print(made)


def leave(findings: list[Finding]) -> None:
    """End this process at once if a check hangs: the interpreter would wait for its thread. Else do nothing."""
    if any(finding.hung for finding in findings):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _check(name: str, look: Callable[[], str], remedy: str = "", *, needed: bool = True) -> Check:
    return Check(name, InThread(look), remedy, needed)


def _of_machine() -> list[Check]:
    return [
        _check("Python", probes.python_version),
        _check("Operating system", probes.operating_system),
        _check("Process handles", probes.process_handles),
        _check("supervisord", probes.supervisord_installed),
        _check("Valkey binary", probes.valkey_binary),
        _check("Certificates", probes.certificates),
    ]


def _of_installation(settings: Settings) -> list[Check]:
    running = Running(settings)
    disk = f"The disk under {settings.home} hangs: look at it, or at the network that it is on."
    return [
        _check("Settings", lambda: f"valid; mode {read_mode(settings) or 'not chosen yet'}", disk),
        _check("Home", lambda: probes.home_writable(settings), disk),
        _check("Token keys", lambda: probes.key_file_private(settings), disk),
        _check("Bots' confinement", lambda: probes.confinement(settings)),
        _check("Database", running.database.look, "It hangs, or the network to it does: look at its server."),
        _check("Database in use", lambda: probes.database_in_use(settings), disk),
        _check("Bots", running.database.set_aside, "It hangs, or the network to it does: look at its server."),
        _check("Redis", running.redis, "It hangs: look at its server."),
        _check("Port", running.port, "What listens there hangs."),
        _check("Discord", lambda: _discord(settings), "Check this host's network and its name servers."),
        _check("Open files", lambda: probes.open_files(running.bots(), running.supervisor_pid())),
        _check("Memory", lambda: probes.memory(running.bots())),
        _check("Merging of memory", lambda: probes.memory_merging(settings)),
        _check("Programs", running.supervisord, disk),
        _check("Supervisor", running.supervisor, disk),
        _check("Fork server", running.fork_server, "See the check of the database."),
        _check("API", running.api, disk),
        _check("Jobs", running.jobs, disk),
        _check("Release", running.release, disk),
    ]


def _discord(settings: Settings) -> str:
    if read_mode(settings) is Mode.DEMO:
        return "not needed: a demo brings its own sandbox"
    return probes.discord_reachable(settings)
