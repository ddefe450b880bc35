"""What `flotilla doctor` looks at in a fleet that runs; of one that does not, that is all there is to say."""

import asyncio
import functools
from datetime import UTC, datetime

import sqlalchemy as sa

from flotilla.address import url_of
from flotilla.cli.api import Api
from flotilla.cli.faults import CommandError
from flotilla.db.engine import Database
from flotilla.db.looks import require_writable
from flotilla.db.schema import Shape, shape
from flotilla.db.supervisors import SqlSupervisors, SupervisorSeen
from flotilla.db.tables import bot_status, bots
from flotilla.domain.vitals import parse_vitals
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.home import ProgramLock
from flotilla.launch import probes, programs
from flotilla.launch.layout import PROGRAMS, program_log, supervisord_socket
from flotilla.launch.remains import listener
from flotilla.launch.supervisord import Supervisord
from flotilla.settings import Settings

IDLE = "no fleet runs in this home; `flotilla up` starts it"
API_TIMEOUT_S = 5.0


class Running:
    """Looks at a home's fleet. Its methods are checks, and may be called by several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.database = DatabaseLook(settings)

    @functools.cached_property
    def _supervisord_pid(self) -> int | None:
        """Who listens on supervisord's socket, told by the kernel even when it does not answer."""
        return listener(supervisord_socket(self._settings))

    @functools.cached_property
    def _runs(self) -> bool:
        held = any(ProgramLock(self._settings, program).holder() for program in PROGRAMS)
        return held or self._supervisord_pid is not None

    def bots(self) -> int:
        """Return how many bots are to fit."""
        try:
            self.database.look()
        except FlotillaError:
            return self._settings.demo_bots
        return self.database.bots or self._settings.demo_bots

    def supervisor_pid(self) -> int | None:
        """Return the supervisor's process, None while it does not run."""
        return ProgramLock(self._settings, "supervisor").holder()

    def supervisord(self) -> str:
        """The process above all programs answers, and has given up none of them."""
        if not self._runs:
            return IDLE
        pid = self._supervisord_pid
        if pid is None:
            raise RetryError(
                "supervisord is gone, and its programs run without it: what ends stays ended. "
                "Run `flotilla down`, then `flotilla up`."
            )
        stopped = programs.why_stopped(pid)
        if stopped:
            raise RetryError(f"supervisord: {stopped}. Until then no program is started again.")
        try:
            found = Supervisord(supervisord_socket(self._settings)).programs()
        except RetryError as fault:
            raise RetryError(
                f"supervisord (process {pid}) does not answer. Look at {self._settings.log_dir}/supervisord.log."
            ) from fault
        ended = [program for program in found if program.given_up and program.name != "welcome"]
        if ended:
            first = ended[0]
            names = ", ".join(f"{program.name} (exit code {program.exit_status})" for program in ended)
            log = program_log(self._settings, first.name)
            raise RetryError(f"supervisord has given up {names}. Read {log} and mend what it says.")
        return f"supervisord, process {pid}, keeps them running"

    def supervisor(self) -> str:
        """The supervisor runs, turns, and is not started again and again."""
        if not self._runs:
            return IDLE
        runs = programs.supervisor_runs(self._settings)
        try:
            reports = self.database.supervisors()
        except FlotillaError:
            return f"{runs}; whether it turns is not known while the database is away"
        return programs.supervisor_reports(reports, datetime.now(UTC), self._settings) if reports else runs

    def fork_server(self) -> str:
        """What forks the workers answers."""
        return programs.fork_server_answers(self.database.supervisors()) if self._runs else IDLE

    def jobs(self) -> str:
        """The job program runs and turns."""
        return programs.jobs_turn(self._settings) if self._runs else IDLE

    def api(self) -> str:
        """The API runs."""
        return programs.api_runs(self._settings) if self._runs else IDLE

    def release(self) -> str:
        """All programs are of this release."""
        return programs.one_release(self._settings)

    def redis(self) -> str:
        """Redis, or while the fleet runs its private Valkey, takes writes."""
        if self._settings.redis_url is None and not self._runs:
            return probes.redis_reachable(self._settings)
        return probes.redis_takes_writes(self._settings)

    def port(self) -> str:
        """The API's port is free, or ours."""
        try:
            return probes.port_free(self._settings)
        except SetupError:
            if not self._runs:
                raise
        url = url_of(self._settings.http_host, self._settings.http_port)
        try:
            with Api(url, None, timeout_s=API_TIMEOUT_S) as api:
                api.readiness()
        except CommandError as fault:
            raise SetupError(f"Flotilla runs, but {fault.message[0].lower()}{fault.message[1:]}") from fault
        return f"port {self._settings.http_port} is ours: this home's fleet runs"


class DatabaseLook:
    """Looks at the database, and keeps how many bots it holds. Each look is an event loop of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.bots = 0

    def look(self) -> str:
        """It is there, in this release's shape, and takes writes; or will be made."""
        return asyncio.run(self._look()) if self._made() else "not made yet; the first start makes it"

    def set_aside(self) -> str:
        """There is no bot for which the supervisor cannot do something. Raises SetupError if there is one."""
        found = asyncio.run(self._set_aside()) if self._made() else []
        if found:
            raise SetupError(
                f"The supervisor cannot do all it should for a fault of its own: {'; '.join(found)}. "
                f"It tries again by itself; the traceback is in {self._settings.log_dir}/supervisor.log. Report it."
            )
        return "none is set aside"

    def supervisors(self) -> list[SupervisorSeen]:
        """Return who supervises, as last reported."""
        return asyncio.run(self._supervisors()) if self._made() else []

    def _made(self) -> bool:
        return self._settings.database_url is not None or (self._settings.home / "flotilla.db").exists()

    async def _look(self) -> str:
        database = Database(self._settings.effective_database_url)
        try:
            found = await shape(database)
            if found is Shape.AHEAD:
                raise SetupError("It was last used by a newer Flotilla. Upgrade the code, or restore a backup.")
            if found is Shape.BEHIND:
                raise SetupError("It has not this release's shape yet. Run: flotilla db upgrade")
            await require_writable(database)
            async with database.read() as connection:
                self.bots = int((await connection.execute(sa.select(sa.func.count()).select_from(bots))).scalar_one())
        finally:
            await database.close()
        return f"{database.url.get_backend_name()}, this release's shape, {self.bots} bots"

    async def _set_aside(self) -> list[str]:
        database = Database(self._settings.effective_database_url)
        try:
            async with database.read() as connection:
                query = sa.select(bots.c.name, bot_status.c.vitals).join(bot_status, bot_status.c.bot_id == bots.c.id)
                found = [(row.name, parse_vitals(row.vitals)) for row in await connection.execute(query)]
        finally:
            await database.close()
        return [f"{name}: {vitals.set_aside}" for name, vitals in found if vitals.set_aside]

    async def _supervisors(self) -> list[SupervisorSeen]:
        database = Database(self._settings.effective_database_url)
        try:
            return await SqlSupervisors(database).all()
        finally:
            await database.close()
