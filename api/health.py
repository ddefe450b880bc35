"""Whether the API lives (`/healthz`) and whether all it depends on is there (`/readyz`)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint

from api.auth import public
from api.schemas import Check, Health, Readiness
from api.services import Services
from api.wire import answer
from flotilla.domain.uptime import SILENT_AFTER
from flotilla.errors import FlotillaError
from flotilla.valkey import AWAY

CHECK_TIMEOUT_S = 2.0
SUPERVISOR_SILENT_S = SILENT_AFTER.total_seconds()
log = structlog.get_logger()


class HealthRoutes:
    """The views that probes and load balancers ask. They need no key and say nothing secret."""

    def __init__(self, services: Services) -> None:
        self._services = services

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
        """Check everything that the API depends on: 200 if all is there, else 503."""
        checks = await asyncio.gather(_checked(self._database), _checked(self._valkey), _checked(self._supervisor))
        readiness = Readiness(*checks)
        return answer(readiness, 200 if readiness.ok else 503)

    async def _database(self) -> Check:
        async with self._services.database.read() as connection:
            await connection.execute(sa.select(1))
        # It may answer reads and take no writes: the programs that write all the time know.
        missed = await asyncio.to_thread(self._services.database.availability.missed_by)
        if missed:
            return Check(ok=False, detail=f"away from the {missed[0].program}: {missed[0].why}")
        return Check(ok=True, detail="answers")

    async def _valkey(self) -> Check:
        await self._services.queue.ping()
        return Check(ok=True, detail="answers")

    async def _supervisor(self) -> Check:
        reports = await self._services.supervisors.all()
        if not reports:
            return Check(ok=False, detail="No supervisor has ever reported. Start one: python -m supervisor")
        last = max(reports, key=lambda report: report.seen_at)
        age_s = (datetime.now(UTC) - last.seen_at).total_seconds()
        where = f"slot {last.slot}, process {last.pid}, seen {max(age_s, 0):.0f} s ago"
        return Check(ok=age_s < SUPERVISOR_SILENT_S, detail=where)


async def _checked(check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return Check(ok=False, detail=f"no answer within {CHECK_TIMEOUT_S:g} s")
    except FlotillaError as fault:
        return Check(ok=False, detail=fault.message)
    except AWAY:
        return Check(ok=False, detail="does not answer")
    except Exception:
        log.exception("readyz.check_failed")
        return Check(ok=False, detail="failed unexpectedly; the API's log says how")
