"""The whole fleet in numbers, over HTTP."""

from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint

from api.auth import requires
from api.schemas import FleetStatus
from api.services import Services
from api.wire import answer
from flotilla import __version__
from flotilla.db.keys import Role


class StatusRoutes:
    """The view of the fleet."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._supervisors = services.supervisors

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("status", __name__, url_prefix="/api/v1/status")
        routes.add_url_rule("", view_func=self.show_status, methods=["GET"])
        tag_blueprint(routes, ["status"])
        return routes

    @requires(Role.VIEWER)
    @document_response(FleetStatus)
    async def show_status(self) -> Response:
        """Count the bots by state, and name the supervisors."""
        counts = await self._bots.counts()
        return answer(FleetStatus.of(counts, await self._supervisors.all(), __version__))
