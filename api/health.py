"""Whether the API lives (`/healthz`) and whether all it depends on is there (`/readyz`)."""

import asyncio
from datetime import UTC, datetime

import structlog
from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint

from api.auth import public
from api.schemas import Check, Health, Readiness
from api.services import Services
from api.wire import answer
from flotilla import checks
from flotilla.checks import InThread
from flotilla.db.looks import require_writable
from flotilla.errors import RetryError
from flotilla.launch import probes, programs
from flotilla.settings import Settings
from flotilla.valkey import AWAY, refusal

CHECK_TIMEOUT_S = 2.0
log = structlog.get_logger()


class HealthRoutes:
    """The views that probes and load balancers ask. They need no key and say nothing secret."""

    def __init__(self, services: Services) -> None:
        self._services = services
        here = services.installation
        self._supervisor_here = None if here is None else InThread(lambda: programs.supervisor_goes_on(here))
        self._table = self._of_all() if here is None else [*self._of_all(), *self._of_home(here)]

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("health", __name__)
        routes.add_url_rule("/healthz", view_func=self.healthz, methods=["GET"])
        routes.add_url_rule("/readyz", view_func=self.readyz, methods=["GET"])
        tag_blueprint(routes, ["health"])
        return routes

    @public
    @document_response(Health)
    async def healthz(self) -> Response:
        """Say that the process lives."""
        return answer(Health())

    @public
    @document_response(Readiness)
    @document_response(Readiness, 503)
    async def readyz(self) -> Response:
        """Look at everything that orders need to be carried out: 200 if all of that is well, else 503."""
        found = await checks.examine(self._table, CHECK_TIMEOUT_S)
        for finding in found:
            if finding.fault is not None:
                log.error("readyz.check_failed", check=finding.name, exc_info=finding.fault)
        ready = all(finding.ok or not finding.needed for finding in found)
        views = {finding.name: Check(finding.ok, finding.text, finding.needed) for finding in found}
        return answer(Readiness(**views), 200 if ready else 503)

    def _of_all(self) -> list[checks.Check]:
        return [
            checks.Check("database", self._database, "Look at the database and at api.log."),
            checks.Check("valkey", self._valkey, "Look at Valkey; orders take seconds longer until it answers."),
            checks.Check("supervisor", self._supervisor, "See: flotilla doctor"),
            checks.Check("fork_server", self._fork_server, "See: flotilla doctor"),
        ]

    def _of_home(self, here: Settings) -> list[checks.Check]:
        return [
            checks.Check("home", InThread(lambda: probes.home_writable(here)), f"The disk of {here.home} hangs."),
            checks.Check("jobs", InThread(lambda: programs.jobs_turn(here)), f"The disk of {here.home} hangs."),
            checks.Check(
                "supervisord",
                InThread(lambda: programs.supervisord_lives(here)),
                f"The disk of {here.home} hangs.",
                needed=False,
            ),
            checks.Check("release", InThread(lambda: programs.one_release(here)), "See: flotilla doctor", needed=False),
        ]

    async def _database(self) -> str:
        await require_writable(self._services.database)
        # It may be well here, and away where it is written to all the time: those programs know.
        missed = await asyncio.to_thread(self._services.database.availability.missed_by)
        if missed:
            raise RetryError(f"It is away from the {missed[0].program}: {missed[0].why}", code="database_unavailable")
        return "answers"

    async def _valkey(self) -> str:
        try:
            await self._services.queue.ping()
        except AWAY as fault:
            raise refusal(fault) from fault
        return "takes writes"

    async def _supervisor(self) -> str:
        if self._supervisor_here is not None:
            await self._supervisor_here()
        reports, here = await self._services.supervisors.all(), self._services.installation
        return await asyncio.to_thread(programs.supervisor_reports, reports, datetime.now(UTC), here)

    async def _fork_server(self) -> str:
        return programs.fork_server_answers(await self._services.supervisors.all())
