"""`flotilla doctor`: every check of an installation, each with how to mend what it finds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from flotilla.cli.api import Api
from flotilla.cli.faults import CommandError
from flotilla.cli.render import console, table
from flotilla.db.engine import Database
from flotilla.db.schema import Shape, shape
from flotilla.db.tables import bots
from flotilla.errors import FlotillaError, SetupError
from flotilla.launch import probes
from flotilla.launch.layout import Mode, supervisord_socket
from flotilla.launch.mode import read_mode
from flotilla.launch.supervisord import Supervisord
from flotilla.redaction import redact_text
from flotilla.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: a fact when `ok`, else how to mend it."""

    name: str
    ok: bool
    text: str


def examine() -> list[Finding]:
    """Run every check; none of them changes anything or raises."""
    findings = [
        _look("Python", probes.python_version),
        _look("Operating system", probes.operating_system),
        _look("supervisord", probes.supervisord_installed),
        _look("Valkey binary", probes.valkey_binary),
    ]
    try:
        settings = load_settings()
    except FlotillaError as fault:
        return [*findings, Finding("Settings", ok=False, text=fault.message)]
    findings.append(Finding("Settings", ok=True, text=f"valid; mode {read_mode(settings) or 'not chosen yet'}"))
    return findings + _examine_installation(settings)


def report(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    made = table("", "CHECK", "FINDING")
    for finding in findings:
        made.add_row("✔" if finding.ok else "✖", finding.name, redact_text(finding.text))
    console().print(made)


def _examine_installation(settings: Settings) -> list[Finding]:
    database = _Database(settings)
    return [
        _look("Home", lambda: probes.home_writable(settings)),
        _look("Token keys", lambda: probes.key_file_private(settings)),
        _look("Database", database.look),
        _look("Database in use", lambda: probes.database_in_use(settings)),
        _look("Redis", lambda: probes.redis_reachable(settings)),
        _look("Port", lambda: _port(settings)),
        _look("Discord", lambda: _discord(settings)),
        _look("Open files", lambda: probes.open_files(database.bots or settings.demo_bots)),
        _look("Memory", lambda: probes.memory(database.bots or settings.demo_bots)),
        _look("Merging of memory", lambda: probes.memory_merging(settings)),
    ]


def _look(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, text=probe())
    except FlotillaError as fault:
        return Finding(name, ok=False, text=fault.message)
    except Exception as fault:  # noqa: BLE001 - a check that breaks is a finding, not the end of the examination
        return Finding(name, ok=False, text=f"This check could not be made: {type(fault).__name__}: {fault}")


class _Database:
    """Looks at the database, and keeps how many bots it holds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.bots = 0

    def look(self) -> str:
        default = self._settings.home / "flotilla.db"
        if self._settings.database_url is None and not default.exists():
            return "not made yet; the first start makes it"
        return asyncio.run(self._ask())

    async def _ask(self) -> str:
        database = Database(self._settings.effective_database_url)
        try:
            found = await shape(database)
            if found is Shape.AHEAD:
                raise SetupError("It was last used by a newer Flotilla. Upgrade the code, or restore a backup.")
            if found is Shape.BEHIND:
                raise SetupError("It has not this release's shape yet. Run: flotilla db upgrade")
            async with database.read() as connection:
                self.bots = int((await connection.execute(sa.select(sa.func.count()).select_from(bots))).scalar_one())
        finally:
            await database.close()
        return f"{database.url.get_backend_name()}, this release's shape, {self.bots} bots"


def _port(settings: Settings) -> str:
    try:
        return probes.port_free(settings)
    except SetupError:
        if Supervisord(supervisord_socket(settings)).pid() is None:
            raise
        try:
            with Api(f"http://127.0.0.1:{settings.http_port}", None) as api:
                api.readiness()
        except CommandError as fault:
            raise SetupError(f"Flotilla runs, but {fault.message[0].lower()}{fault.message[1:]}") from fault
        return f"port {settings.http_port} is ours: this home's fleet runs"


def _discord(settings: Settings) -> str:
    if read_mode(settings) is Mode.DEMO:
        return "not needed: a demo brings its own sandbox"
    return probes.discord_reachable(settings)
